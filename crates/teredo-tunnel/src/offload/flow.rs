//! Which flow a received packet belongs to, and where its payload begins.

use super::checksum::{Sum, pseudo_header};
use super::{IPV6, TCP, UDP, be16, be32, tcp, udp};

/// A packet of TCP or UDP without extension headers: of these, and of no others, it is known what belongs together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) packet: &'a [u8],
    /// The length of all headers.
    pub(super) headers: usize,
}

impl<'a> Segment<'a> {
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let len = packet.len().checked_sub(IPV6)?;
        if packet[0] >> 4 != 6 || usize::from(be16(packet, 4)) != len {
            return None;
        }
        let headers = match packet[6] {
            TCP if len >= tcp::LEN => IPV6 + 4 * usize::from(packet[IPV6 + tcp::DATA_OFFSET] >> 4),
            UDP if len >= udp::LEN && usize::from(be16(packet, IPV6 + udp::LENGTH)) == len => {
                IPV6 + udp::LEN
            }
            _ => return None,
        };
        let shortest = match packet[6] {
            TCP => IPV6 + tcp::LEN,
            _ => IPV6 + udp::LEN,
        };
        (shortest..=packet.len())
            .contains(&headers)
            .then_some(Self { packet, headers })
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.packet[6] == TCP
    }

    pub(super) fn payload(&self) -> usize {
        self.packet.len() - self.headers
    }

    /// The sequence number of TCP.
    pub(super) fn sequence(&self) -> u32 {
        be32(self.packet, IPV6 + tcp::SEQUENCE)
    }

    /// Protocol, addresses and ports are the same.
    pub(super) fn is_of_flow(&self, other: &Self) -> bool {
        self.packet[6] == other.packet[6] && self.packet[8..IPV6 + 4] == other.packet[8..IPV6 + 4]
    }

    /// Whether it may be a part of a super-packet at all: data, and of TCP nothing that changes the connection.
    /// CWR is said once, and segmentation says it once only in the first segment.
    pub(super) fn is_data(&self) -> bool {
        let plain =
            |flags: u8| flags & tcp::ACK != 0 && flags & !(tcp::ACK | tcp::PSH | tcp::ECE) == 0;
        self.payload() > 0 && (!self.is_tcp() || plain(self.packet[IPV6 + tcp::FLAGS]))
    }

    /// Whether a super-packet ends with it.
    pub(super) fn is_pushed(&self) -> bool {
        self.is_tcp() && self.packet[IPV6 + tcp::FLAGS] & tcp::PSH != 0
    }

    /// Whether all fields are the same that segmentation copies from the first packet to the others: traffic class
    /// with ECN, flow label, hop limit, acknowledgement, window and options.
    pub(super) fn has_headers_of(&self, other: &Self) -> bool {
        let (a, b) = (self.packet, other.packet);
        let ip = a[..4] == b[..4] && a[7] == b[7];
        ip && (!self.is_tcp() || {
            let (a, b) = (&a[IPV6..self.headers], &b[IPV6..other.headers]);
            let flags = (a[tcp::FLAGS] ^ b[tcp::FLAGS]) & !tcp::PSH;
            // The last of these also tells different lengths apart.
            a[8..tcp::FLAGS] == b[8..tcp::FLAGS]
                && flags == 0
                && a[tcp::FLAGS + 1..tcp::CHECKSUM] == b[tcp::FLAGS + 1..tcp::CHECKSUM]
                && a[tcp::CHECKSUM + 2..] == b[tcp::CHECKSUM + 2..]
        })
    }

    /// Whether its checksum is right, and the one that segmentation would write: of ones' complement's two zeros TCP's
    /// is 0, and UDP's is not (RFC 8200 §8.1).
    pub(super) fn is_intact(&self) -> bool {
        let covered = &self.packet[IPV6..];
        let (field, other_zero) = if self.is_tcp() {
            (tcp::CHECKSUM, 0xffff)
        } else {
            (udp::CHECKSUM, 0)
        };
        if be16(covered, field) == other_zero {
            return false;
        }
        pseudo_header(self.packet, self.packet[6])
            .plus(Sum::number(covered.len()))
            .plus(Sum::of(covered))
            .is_right()
    }
}
