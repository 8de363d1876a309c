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
use super::{Capture, Record};

/// The point of view of a capture, because NATs rewrite addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// At its sender: addresses as the sender wrote them.
    Sender,
    /// On the public Internet, between the NATs.
    Public,
}

impl Capture {
    /// All datagrams, lost ones included, as a file in the pcap format. Time stamps are virtual: second 0 is the
    /// beginning of the world.
    pub fn to_pcap(&self, vantage: Vantage) -> Vec<u8> {
        let mut file = Vec::new();
        // Writing to a vector does not fail.
        let _ = format::write_header(&mut file, LinkType::RawIp);
        for record in self.iter() {
            let time = Duration::from_nanos(record.at.as_nanos());
            if let Some(packet) = packet(record, vantage) {
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
