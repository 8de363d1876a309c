//! Offloads to the network card, switched on and off by ethtool's netlink protocol.
//!
//! A veth carries a super-packet of 64 KiB from namespace to namespace in one piece, which no wire does. With
//! segmentation offload off, the kernel cuts it before the link, so the link carries frames like those of a wire.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkPayload,
    NetlinkSerializable, NlasIterator,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use crate::namespace::Namespace;
use crate::netlink::NetlinkSocket;

/// The features that make frames larger than those of a wire, on transmission and on reception.
const LARGE_FRAMES: [&str; 8] = [
    "tx-tcp-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
    "tx-tcp6-segmentation",
    "tx-udp-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
    "rx-gro",
];

/// The feature that leaves checksums to the network card, or, of a veth, to nobody.
const CHECKSUMS: [&str; 1] = ["tx-checksum-ip-generic"];

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// A command, a version, and two bytes of nothing.
const GENL_HEADER: usize = 4;

// linux/ethtool_netlink.h
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;
const ETHTOOL_A_HEADER_FLAGS: u16 = 3;
const ETHTOOL_FLAG_OMIT_REPLY: u32 = 2;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;

const NLA_F_NESTED: u16 = 0x8000;

impl Namespace {
    /// Switches the segmentation offloads of an interface and its merging of received packets (GRO). With them, it
    /// sends and receives frames larger than those of a wire.
    ///
    /// # Errors
    ///
    /// If there is no such interface, or the kernel is older than Linux 5.8.
    pub fn set_large_frames(&self, interface: &str, on: bool) -> io::Result<()> {
        self.set_features(interface, &LARGE_FRAMES, on)
    }

    /// Lets packets leave an interface without their checksums, as a veth does, or not: then the kernel completes them, as
    /// the card of a real interface would.
    ///
    /// # Errors
    ///
    /// If there is no such interface, or the kernel is older than Linux 5.8.
    pub fn set_missing_checksums(&self, interface: &str, on: bool) -> io::Result<()> {
        self.set_features(interface, &CHECKSUMS, on)
    }

    fn set_features(&self, interface: &str, names: &[&str], on: bool) -> io::Result<()> {
        self.run(|| {
            let mut netlink = NetlinkSocket::open(NETLINK_GENERIC)?;
            let family = family(&mut netlink, "ethtool")?;
            netlink.request(features(family, interface, names, on), 0)
        })?
    }
}

/// A message of generic netlink; its family is its type.
#[derive(Debug)]
struct Generic {
    family: u16,
    bytes: Vec<u8>,
}

impl Generic {
    fn new(family: u16, command: u8, attributes: &[u8]) -> Self {
        let bytes = [&[command, 1, 0, 0], attributes].concat();
        Self { family, bytes }
    }
}

/// Asks for the number of a family of generic netlink, which the kernel assigns when it boots.
fn family(netlink: &mut NetlinkSocket, name: &str) -> io::Result<u16> {
    let name = attribute(CTRL_ATTR_FAMILY_NAME, &terminated(name));
    let answer = netlink.query(Generic::new(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name))?;
    let attributes = answer.bytes.get(GENL_HEADER..).unwrap_or_default();
    for attribute in NlasIterator::new(attributes).flatten() {
        if let (CTRL_ATTR_FAMILY_ID, Ok(id)) = (attribute.kind(), attribute.value().try_into()) {
            return Ok(u16::from_ne_bytes(id));
        }
    }
    Err(io::Error::other(
        "the kernel has no ethtool over netlink (Linux 5.8)",
    ))
}

/// The request that sets these features.
fn features(family: u16, interface: &str, names: &[&str], on: bool) -> Generic {
    let header = [
        attribute(ETHTOOL_A_HEADER_DEV_NAME, &terminated(interface)),
        attribute(
            ETHTOOL_A_HEADER_FLAGS,
            &ETHTOOL_FLAG_OMIT_REPLY.to_ne_bytes(),
        ),
    ]
    .concat();
    let bit = |name: &&str| {
        let mut bit = attribute(ETHTOOL_A_BITSET_BIT_NAME, &terminated(name));
        if on {
            bit.extend(attribute(ETHTOOL_A_BITSET_BIT_VALUE, &[]));
        }
        nested(ETHTOOL_A_BITSET_BITS_BIT, &bit)
    };
    let bits: Vec<u8> = names.iter().flat_map(bit).collect();
    let attributes = [
        nested(ETHTOOL_A_FEATURES_HEADER, &header),
        nested(
            ETHTOOL_A_FEATURES_WANTED,
            &nested(ETHTOOL_A_BITSET_BITS, &bits),
        ),
    ]
    .concat();
    Generic::new(family, ETHTOOL_MSG_FEATURES_SET, &attributes)
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn nested(kind: u16, payload: &[u8]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, payload)
}

/// An attribute with its padding.
fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let attribute = DefaultNla::new(kind, payload.to_owned());
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

impl NetlinkSerializable for Generic {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..self.bytes.len()].copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Generic {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            family: header.message_type,
            bytes: payload.to_owned(),
        })
    }
}

impl From<Generic> for NetlinkPayload<Generic> {
    fn from(message: Generic) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests;
