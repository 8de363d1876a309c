//! The values that all datagrams to a service have in common, and all answers.

use std::net::Ipv4Addr;

use netlink_packet_netfilter::nftables::MetaKey;

use super::content::Content;
use crate::rule::interface_name;
use crate::{CtKey, Family, Field, PayloadBase};

const UDP: u8 = 17;

/// A UDP service at one address and interface of this host, that anyone may ask by IPv4.
///
/// Its answers leave by the interface that the questions come in by, from the address that was asked, or from another one of
/// the service on this interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// The name of the interface.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// The interface's group, as `ip link` shows it; 0 is `default`.
    pub group: u32,
}

/// The way of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the port.
    In,
    /// From the port.
    Out,
}

impl Service {
    /// The value that a rule of this family loads.
    pub(super) fn content(&self, field: Field, way: Way, family: Family) -> Content {
        let known = |bytes: &[u8]| Content::Known(bytes.to_vec());
        match (field, way) {
            (Field::Meta(MetaKey::L4Proto), _) => known(&[UDP]),
            // NFPROTO_IPV4
            (Field::Meta(MetaKey::Nfproto), _) => known(&[2]),
            // ETH_P_IP
            (Field::Meta(MetaKey::EtherTypeProtocol), _) => known(&[8, 0]),
            (Field::Meta(key), _) if family != Family::Bridge => self.interface(key, way),
            (Field::DESTINATION_PORT, Way::In) | (Field::SOURCE_PORT, Way::Out) => {
                known(&self.port.to_be_bytes())
            }
            (
                Field::Payload {
                    base: PayloadBase::Network,
                    offset: 9,
                    length: 1,
                },
                _,
            ) => known(&[UDP]),
            (
                Field::Payload {
                    base: PayloadBase::Network,
                    offset,
                    length,
                },
                way,
            ) => self.part_of_address(offset, length, way),
            (Field::Ct(CtKey::State), _) => Content::CtState(u32::MAX),
            _ => Content::Any,
        }
    }

    /// The interface that a datagram comes in or leaves by. The rules of a bridge see its ports instead.
    fn interface(&self, key: MetaKey, way: Way) -> Content {
        match (key, way) {
            (MetaKey::Iif, Way::In) | (MetaKey::Oif, Way::Out) => {
                Content::Known(self.index.to_ne_bytes().to_vec())
            }
            (MetaKey::Iifname, Way::In) | (MetaKey::Oifname, Way::Out) => {
                Content::Known(interface_name(&self.interface).to_vec())
            }
            (MetaKey::Iifgroup, Way::In) | (MetaKey::Oifgroup, Way::Out) => {
                Content::Known(self.group.to_ne_bytes().to_vec())
            }
            // In the output there is no interface that it came in by, and kernels differ in what they load.
            _ => Content::Any,
        }
    }

    /// A part of our address in the IP header: `nft` loads three bytes for a network of 24 bits.
    fn part_of_address(&self, offset: u32, length: u32, way: Way) -> Content {
        let start: u32 = match way {
            Way::In => 16,
            Way::Out => 12,
        };
        let octets = self.address.octets();
        let part = offset.checked_sub(start).and_then(|first| {
            let last = first.checked_add(length)?;
            octets.get(usize::try_from(first).ok()?..usize::try_from(last).ok()?)
        });
        part.map_or(Content::Any, |part| Content::Known(part.to_vec()))
    }
}
