//! A packet that is not sent: the doctor asks the rules what they would do to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use teredo_nft::{CtKey, MetaKey, PayloadBase};

/// Whether something holds, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    No,
    Unknown,
    Yes,
}

impl Truth {
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn xor(self, inverted: bool) -> Self {
        match self {
            Self::Yes if inverted => Self::No,
            Self::No if inverted => Self::Yes,
            same => same,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;
pub(crate) const IGMP: u8 = 2;
pub(crate) const ICMPV6: u8 = 58;

/// The states of connection tracking, as nftables and iptables number them.
pub(crate) const ESTABLISHED: u32 = 2;
pub(crate) const NEW: u32 = 8;
pub(crate) const UNTRACKED: u32 = 64;

/// An interface on the packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) group: u32,
    /// ARPHRD_*: 1 Ethernet, 65534 a TUN interface.
    pub(crate) kind: u16,
}

/// A packet, as far as rules can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) into: Option<Link>,
    pub(crate) out_of: Option<Link>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// Source and destination.
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) icmp_type: Option<u8>,
    /// The bit of its connection's state.
    pub(crate) state: u32,
    /// The user whose socket sends it.
    pub(crate) user: Option<u32>,
    /// The mark that rules have given it.
    pub(crate) mark: Option<u32>,
}

/// Bytes of the packet; those that differ between packets of this kind are unknown.
pub(crate) type Bytes = Vec<Option<u8>>;

/// The value of a load.
pub(crate) enum Loaded {
    /// These bytes.
    Bytes(Bytes),
    /// The packet has no such thing, so the rule does not match.
    Nothing,
    /// It cannot be told.
    Unknown,
}

impl Packet {
    pub(crate) fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    pub(crate) fn arrives(&self) -> bool {
        self.into.is_some()
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.destination.is_multicast()
    }

    pub(crate) fn meta(&self, key: MetaKey) -> Loaded {
        let byte = |value: u8| Loaded::Bytes(vec![Some(value), Some(0), Some(0), Some(0)]);
        let number = |value: u32| known(&value.to_ne_bytes());
        let link = |link: &Option<Link>, value: fn(&Link) -> u32| match link {
            Some(link) => number(value(link)),
            None => Loaded::Nothing,
        };
        match key {
            MetaKey::Iifname => name(self.into.as_ref()),
            MetaKey::Oifname => name(self.out_of.as_ref()),
            MetaKey::Iif => link(&self.into, |link| link.index),
            MetaKey::Oif => link(&self.out_of, |link| link.index),
            MetaKey::Iifgroup => link(&self.into, |link| link.group),
            MetaKey::Oifgroup => link(&self.out_of, |link| link.group),
            MetaKey::Iftype | MetaKey::Oiftype => {
                let link = if key == MetaKey::Iftype {
                    &self.into
                } else {
                    &self.out_of
                };
                match link {
                    Some(link) => {
                        let [a, b] = link.kind.to_ne_bytes();
                        known(&[a, b, 0, 0])
                    }
                    None => Loaded::Nothing,
                }
            }
            MetaKey::L4Proto => byte(self.protocol),
            MetaKey::Nfproto => byte(if self.is_ipv6() { 10 } else { 2 }),
            MetaKey::EtherTypeProtocol => {
                let [a, b] = if self.is_ipv6() {
                    [0x86, 0xdd]
                } else {
                    [0x08, 0x00]
                };
                known(&[a, b, 0, 0])
            }
            // PACKET_HOST, PACKET_MULTICAST.
            MetaKey::PacketType if self.arrives() => byte(if self.is_multicast() { 2 } else { 0 }),
            MetaKey::SocketUserId if self.arrives() => Loaded::Nothing,
            MetaKey::SocketUserId => self.user.map_or(Loaded::Unknown, number),
            MetaKey::Mark => self.mark.map_or(Loaded::Unknown, number),
            _ => Loaded::Unknown,
        }
    }

    pub(crate) fn ct(&self, key: CtKey) -> Loaded {
        let number = |value: u32| known(&value.to_ne_bytes());
        match key {
            CtKey::State => number(self.state),
            _ if self.state == UNTRACKED => Loaded::Nothing,
            CtKey::Direction => {
                let reply = self.state == ESTABLISHED && self.arrives();
                known(&[u8::from(reply), 0, 0, 0])
            }
            // IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED.
            CtKey::Status => number(if self.state == ESTABLISHED { 0xe } else { 0 }),
            CtKey::Mark => number(0),
            _ => Loaded::Unknown,
        }
    }

    pub(crate) fn payload(&self, base: PayloadBase, offset: u32, length: u32) -> Loaded {
        let header = match base {
            PayloadBase::Network => self.network_header(),
            PayloadBase::Transport => self.transport_header(),
            PayloadBase::Link => return Loaded::Unknown,
        };
        let (offset, length) = (offset as usize, length as usize);
        let Some(bytes) = offset
            .checked_add(length)
            .and_then(|end| header.get(offset..end))
        else {
            return Loaded::Unknown;
        };
        let mut bytes = bytes.to_vec();
        // The kernel clears the rest of the last register.
        bytes.resize(length.next_multiple_of(4), Some(0));
        Loaded::Bytes(bytes)
    }

    fn network_header(&self) -> Bytes {
        let mut header;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header = vec![None; 12];
                header[0] = Some(0x45);
                header[1] = Some(0);
                // Whole, and not a fragment.
                (header[6], header[7]) = (Some(0), Some(0));
                header[9] = Some(self.protocol);
                header.extend(source.octets().map(Some));
                header.extend(destination.octets().map(Some));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header = vec![Some(0x60), Some(0), Some(0), Some(0), None, None];
                header.push(Some(self.protocol));
                header.push(None);
                header.extend(source.octets().map(Some));
                header.extend(destination.octets().map(Some));
            }
            _ => header = Vec::new(),
        }
        header
    }

    fn transport_header(&self) -> Bytes {
        let mut header = vec![None; 20];
        if let Some((source, destination)) = self.ports {
            let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
            for (to, byte) in header.iter_mut().zip(ports) {
                *to = Some(byte);
            }
        }
        if self.protocol == TCP {
            // SYN opens a connection; an established one has ACK.
            header[13] = Some(if self.state == NEW { 0x02 } else { 0x10 });
        }
        if let Some(kind) = self.icmp_type {
            (header[0], header[1]) = (Some(kind), Some(0));
        }
        header
    }
}

fn known(bytes: &[u8]) -> Loaded {
    Loaded::Bytes(bytes.iter().copied().map(Some).collect())
}

fn name(link: Option<&Link>) -> Loaded {
    let mut padded = [0; 16];
    if let Some(link) = link {
        let length = link.name.len().min(15);
        padded[..length].copy_from_slice(&link.name.as_bytes()[..length]);
    }
    known(&padded)
}

/// An address that stands for everybody on the Internet whom no rule names.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(81, 2, 69, 142);
pub(crate) const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2a02, 0xcf40, 0, 0, 0, 0, 0, 0x142);

/// A Teredo address of another client (RFC 4380 §4).
pub(crate) const SOMEBODY: Ipv6Addr =
    Ipv6Addr::new(0x2001, 0, 0x5102, 0x458e, 0, 0x63bf, 0x3fff, 0xfdd2);

/// The packets that the doctor follows. `outside` is the interface that leads to the server, `inside` the tunnel.
pub(crate) mod kinds {
    use super::*;

    /// A datagram to the port from somebody: the server's answer, or a stranger's.
    pub(crate) fn to_port(
        outside: &Link,
        from: (Ipv4Addr, u16),
        to: (Ipv4Addr, u16),
        state: u32,
    ) -> Packet {
        Packet {
            into: Some(outside.clone()),
            out_of: None,
            source: from.0.into(),
            destination: to.0.into(),
            protocol: UDP,
            ports: Some((from.1, to.1)),
            icmp_type: None,
            state,
            user: None,
            mark: Some(0),
        }
    }

    /// A datagram that leaves from the port.
    pub(crate) fn from_port(
        outside: &Link,
        from: (Ipv4Addr, u16),
        to: (Ipv4Addr, u16),
        user: Option<u32>,
    ) -> Packet {
        Packet {
            into: None,
            out_of: Some(outside.clone()),
            state: NEW,
            user,
            ..to_port(outside, from, to, NEW)
        }
    }

    /// Multicast of the local discovery, and the IGMP that it needs.
    pub(crate) fn discovery(outside: &Link, from: Ipv4Addr) -> Packet {
        let group = Ipv4Addr::new(224, 0, 0, 253);
        to_port(outside, (from, 40_000), (group, 3544), NEW)
    }

    pub(crate) fn igmp(outside: &Link, from: Ipv4Addr) -> Packet {
        Packet {
            protocol: IGMP,
            ports: None,
            // A query goes to all hosts.
            ..to_port(outside, (from, 0), (Ipv4Addr::new(224, 0, 0, 1), 0), NEW)
        }
    }

    /// Something out of the tunnel.
    pub(crate) fn inside(inside: &Link, to: Ipv6Addr, protocol: u8, port: u16) -> Packet {
        Packet {
            into: Some(inside.clone()),
            out_of: None,
            source: STRANGER6.into(),
            destination: to.into(),
            protocol,
            ports: Some((50_000, port)),
            icmp_type: None,
            state: NEW,
            user: None,
            mark: Some(0),
        }
    }

    /// ICMPv6 out of the tunnel.
    pub(crate) fn icmpv6(link: &Link, to: Ipv6Addr, kind: u8) -> Packet {
        Packet {
            ports: None,
            icmp_type: Some(kind),
            ..inside(link, to, ICMPV6, 0)
        }
    }
}
