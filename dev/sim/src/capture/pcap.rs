//! The capture as a file that Wireshark and tcpdump read.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the laboratory, whose file it is, uses and exports more of it"
)]
#[path = "../../../../crates/teredo-lab/src/pcap.rs"]
mod format;

use std::time::Duration;

use etherparse::PacketBuilder;

use self::format::LinkType;
use super::{Capture, Entry, Notice, Record, in_order};
use crate::icmp::IcmpKind;

/// The point of view of a capture, because NATs rewrite addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// At its sender: addresses as the sender wrote them.
    Sender,
    /// On the public Internet, between the NATs.
    Public,
}

impl Capture {
    /// All datagrams, lost ones included, and the ICMP errors that hosts got, as a file in the pcap format. Time stamps
    /// are virtual: second 0 is the beginning of the world.
    pub fn to_pcap(&self, vantage: Vantage) -> Vec<u8> {
        let mut file = Vec::new();
        // Writing to a vector does not fail.
        let _ = format::write_header(&mut file, LinkType::RawIp);
        for entry in in_order(&self.records, &self.notices) {
            let (at, packet) = match entry {
                Entry::Record(record) => (record.at, packet(record, vantage)),
                Entry::Notice(notice) => (notice.at, error(notice)),
            };
            let time = Duration::from_nanos(at.as_nanos());
            if let Some(packet) = packet {
                let _ = format::write_frame(&mut file, time, &packet);
            }
        }
        file
    }
}

/// The datagram with its headers; `None` if its payload is longer than IPv4 can carry.
fn packet(record: &Record, vantage: Vantage) -> Option<Vec<u8>> {
    let source = match vantage {
        Vantage::Sender => record.datagram.source,
        Vantage::Public => record.public_source,
    };
    let destination = record.datagram.destination;
    let (from, to) = (source.ip().octets(), destination.ip().octets());
    let builder =
        PacketBuilder::ipv4(from, to, record.datagram.ttl).udp(source.port(), destination.port());
    let mut packet = Vec::new();
    builder.write(&mut packet, record.payload()).ok()?;
    Some(packet)
}

/// An ICMP error with its headers, as its host sees it: with the IPv4 header of the datagram and eight bytes more (RFC
/// 792).
fn error(notice: &Notice) -> Option<Vec<u8>> {
    let error = &notice.error;
    let (from, to) = (error.source.ip().octets(), error.destination.ip().octets());
    let mut inner = Vec::new();
    // The bytes of the payload are not known any more, but their number is.
    PacketBuilder::ipv4(from, to, 1)
        .udp(error.source.port(), error.destination.port())
        .write(&mut inner, &vec![0; usize::from(error.length)])
        .ok()?;
    inner.truncate(28);
    let rest = match error.kind {
        IcmpKind::FragmentationNeeded { mtu } => {
            let [high, low] = mtu.to_be_bytes();
            [0, 0, high, low]
        }
        _ => [0; 4],
    };
    let (kind, code) = error.kind.numbers();
    let mut packet = Vec::new();
    PacketBuilder::ipv4(error.reporter.octets(), from, 64)
        .icmpv4_raw(kind, code, rest)
        .write(&mut packet, &inner)
        .ok()?;
    Some(packet)
}
