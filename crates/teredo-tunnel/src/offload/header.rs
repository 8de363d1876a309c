//! `struct virtio_net_hdr`: the header before each packet of a TUN interface with `IFF_VNET_HDR`.

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`
const TCP6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`
const UDP: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`: the first segment has CWR set.
const ECN: u8 = 0x80;

/// The kind of segments that a packet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gso {
    /// One packet.
    None,
    /// TCP segments over IPv6.
    Tcp6,
    /// UDP datagrams (USO).
    Udp,
    /// A kind that was not asked for.
    Other(u8),
}

/// A `virtio_net_hdr` in its oldest form, 10 bytes in the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The checksum at [`Self::checksum_offset`] holds the sum of the pseudo-header, and is to be completed.
    pub needs_checksum: bool,
    /// The kind of segments that the packet is made of.
    pub gso: Gso,
    /// The length of all headers in bytes.
    pub header_len: u16,
    /// The bytes of payload in each segment but the last.
    pub segment: u16,
    /// Where in the packet the part begins that the checksum covers.
    pub checksum_start: u16,
    /// Where in that part the checksum is.
    pub checksum_offset: u16,
}

impl Header {
    /// Its length in bytes.
    pub const LEN: usize = 10;

    /// The header of one packet that is complete.
    pub const WHOLE: Self = Self {
        needs_checksum: false,
        gso: Gso::None,
        header_len: 0,
        segment: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// Takes the kernel's bytes apart. Whether they fit the packet is for [`Cut`](super::Cut) to find out.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Self {
            needs_checksum: bytes[0] & NEEDS_CHECKSUM != 0,
            gso: match bytes[1] & !ECN {
                0 => Gso::None,
                TCP6 => Gso::Tcp6,
                UDP => Gso::Udp,
                other => Gso::Other(other),
            },
            header_len: word(2),
            segment: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        }
    }

    /// The header for the kernel.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let kind = match self.gso {
            Gso::None => 0,
            Gso::Tcp6 => TCP6,
            Gso::Udp => UDP,
            Gso::Other(other) => other,
        };
        let mut bytes = [if self.needs_checksum {
            NEEDS_CHECKSUM
        } else {
            0
        }; Self::LEN];
        bytes[1] = kind;
        for (at, word) in [
            (2, self.header_len),
            (4, self.segment),
            (6, self.checksum_start),
            (8, self.checksum_offset),
        ] {
            bytes[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}
