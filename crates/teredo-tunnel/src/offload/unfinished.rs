//! Received packets that their sender left to hardware to finish: the checksum, or the cut into segments.
//!
//! Between network namespaces, and between virtual machines of one host, there is no hardware. A path in the kernel at the
//! sender's side (`teredo-bpf`) then sends a packet as the host's stack made it, and the path in the kernel at this side
//! understands the mark that it carries. User space gets those packets that the kernel leaves to it, and no mark. But the
//! checksum's field tells: it holds the sum of the pseudo-header alone.
//!
//! A packet whose right checksum happens to be that sum does not change, because completing gives the same again. A packet
//! that was damaged into that form is taken as right, as one in 65,536 damaged packets is anyhow. It gives an attacker
//! nothing: who can write that field could have written the right checksum.

use teredo::wire::MTU;

use super::checksum::{Sum, pseudo_header};
use super::flow::Segment;
use super::{Gso, Header, IPV6, tcp, udp};

/// Completes the checksum of a packet if the sender has left it to hardware. If the packet is longer than any of the tunnel,
/// it is a super-packet of TCP: then it stays as it is, and the result describes it to the kernel, with segments that are
/// as long as the tunnel takes.
pub fn finish(packet: &mut [u8]) -> Option<Header> {
    let segment = Segment::parse(packet)?;
    let (is_tcp, headers) = (segment.is_tcp(), segment.headers);
    let offset = if is_tcp { tcp::CHECKSUM } else { udp::CHECKSUM };
    let field = IPV6 + offset..IPV6 + offset + 2;
    let covered = packet.len() - IPV6;
    let pseudo = pseudo_header(packet, packet[6]).plus(Sum::number(covered));
    if packet[field.clone()] != pseudo.folded() {
        return None;
    }
    if is_tcp && packet.len() > MTU {
        return Some(Header {
            needs_checksum: true,
            gso: Gso::Tcp6,
            // Headers of TCP over IPv6 have at most 100 bytes.
            header_len: headers as u16,
            segment: (MTU - headers) as u16,
            checksum_start: IPV6 as u16,
            checksum_offset: offset as u16,
        });
    }
    // The field adds the pseudo-header.
    let sum = Sum::of(&packet[IPV6..]);
    let checksum = if is_tcp {
        sum.checksum()
    } else {
        sum.nonzero_checksum()
    };
    packet[field].copy_from_slice(&checksum);
    None
}

#[cfg(test)]
mod tests;
