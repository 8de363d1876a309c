//! The capture as a file that Wireshark and tcpdump read.

use std::net::SocketAddrV4;

use super::{Capture, Record};

/// Where on its way a datagram is looked at: NATs rewrite addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// At its sender: addresses as the sender wrote them.
    Sender,
    /// On the public Internet, between the NATs.
    Public,
}

/// The magic number of a file with time stamps in nanoseconds.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Packets begin with the IPv4 header.
const LINKTYPE_RAW: u32 = 101;
const IPV4_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP_PROTOCOL: u8 = 17;

impl Capture {
    /// All datagrams, lost ones included, as a file in the pcap format. Time stamps are virtual: second 0 is the
    /// beginning of the world.
    pub fn to_pcap(&self, vantage: Vantage) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(MAGIC_NANOSECONDS.to_le_bytes());
        file.extend(2_u16.to_le_bytes());
        file.extend(4_u16.to_le_bytes());
        file.extend([0; 8]);
        file.extend(u32::from(u16::MAX).to_le_bytes());
        file.extend(LINKTYPE_RAW.to_le_bytes());
        for record in self.iter() {
            append(&mut file, record, vantage);
        }
        file
    }
}

fn append(file: &mut Vec<u8>, record: &Record, vantage: Vantage) {
    let source = match vantage {
        Vantage::Sender => record.datagram.source,
        Vantage::Public => record.public_source,
    };
    let destination = record.datagram.destination;
    let payload = record.payload();
    let udp_length = UDP_HEADER + payload.len();
    let Ok(total_length) = u16::try_from(IPV4_HEADER + udp_length) else {
        return;
    };

    let nanos = record.at.as_nanos();
    for field in [
        nanos / 1_000_000_000,
        nanos % 1_000_000_000,
        u64::from(total_length),
        u64::from(total_length),
    ] {
        // Seconds wrap in 2106, as they do in every file of this format.
        file.extend((field as u32).to_le_bytes());
    }
    file.extend(ipv4_header(
        source,
        destination,
        record.datagram.ttl,
        total_length,
    ));
    file.extend(source.port().to_be_bytes());
    file.extend(destination.port().to_be_bytes());
    file.extend((total_length - IPV4_HEADER as u16).to_be_bytes());
    // A UDP checksum of zero over IPv4 means that there is none.
    file.extend([0, 0]);
    file.extend(payload);
}

fn ipv4_header(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
    total_length: u16,
) -> [u8; IPV4_HEADER] {
    let mut header = [0; IPV4_HEADER];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total_length.to_be_bytes());
    header[8] = ttl;
    header[9] = UDP_PROTOCOL;
    header[12..16].copy_from_slice(&source.ip().octets());
    header[16..20].copy_from_slice(&destination.ip().octets());
    let sum: u32 = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    header
}
