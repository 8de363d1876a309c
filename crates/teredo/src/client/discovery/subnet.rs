//! The subnet that neighbours are looked for in.

use std::net::Ipv4Addr;

/// The IPv4 subnet that a client's datagrams leave through, as one of the host's interfaces is configured.
///
/// ```
/// use teredo::client::LocalSubnet;
///
/// let subnet = LocalSubnet { address: "192.168.1.2".parse()?, prefix_len: 24 };
/// assert!(subnet.has_neighbour("192.168.1.3".parse()?));
/// assert!(!subnet.has_neighbour("192.168.1.2".parse()?), "that is the host itself");
/// assert!(!subnet.has_neighbour("192.168.1.255".parse()?), "that is everybody");
/// assert!(!subnet.has_neighbour("192.168.2.3".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalSubnet {
    /// The host's own address in it.
    pub address: Ipv4Addr,
    /// How many bits of it name the subnet, 0 to 32; more counts as 32.
    pub prefix_len: u8,
}

impl LocalSubnet {
    /// Whether another host of this subnet can have `address`: neither the own one, nor the subnet's name or its
    /// broadcast address.
    pub fn has_neighbour(self, address: Ipv4Addr) -> bool {
        let host_bits = match self.prefix_len {
            0 => u32::MAX,
            1..32 => u32::MAX >> self.prefix_len,
            _ => 0,
        };
        let (own, other) = (self.address.to_bits(), address.to_bits());
        // Two hosts on a point-to-point link have neither a name nor a broadcast address (RFC 3021).
        let reserved = host_bits > 1 && [0, host_bits].contains(&(other & host_bits));
        own != other && own & !host_bits == other & !host_bits && !reserved
    }
}
