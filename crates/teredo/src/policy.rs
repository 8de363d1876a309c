//! The IPv4 addresses to which nothing may be sent (RFC 4380 §5.2.4), and the IPv6 networks that are carried.
//!
//! Anybody can write any IPv4 address and port into a Teredo address, to make a Teredo node send a packet there. The
//! list keeps such packets on the Internet and out of the networks behind it.

mod native;

use std::net::{Ipv4Addr, SocketAddrV4};

pub(crate) use native::{SPECIAL_UNICAST, carries, is_special_purpose};

/// The shared address space between a carrier's NAT and its customers (RFC 6598).
const SHARED: Block = Block::new(Ipv4Addr::new(100, 64, 0, 0), 10);

/// Whether the address is one of the shared address space, 100.64.0.0/10 (RFC 6598): a carrier's NAT gives its customers
/// such addresses.
#[must_use]
pub fn is_shared(address: Ipv4Addr) -> bool {
    SHARED.contains(address)
}

/// Where a node may send UDP datagrams.
///
/// `default()` refuses the list of RFC 4380 §5.2.4 and the special-purpose networks that came after it; operators add
/// theirs with [`Self::deny`].
///
/// ```
/// use teredo::policy::DestinationPolicy;
///
/// let mut policy = DestinationPolicy::default();
/// assert!(policy.permits("192.0.2.1:4096".parse()?));
/// assert!(!policy.permits("192.168.0.1:4096".parse()?));
///
/// policy.deny("192.0.2.0".parse()?, 24);
/// assert!(!policy.permits("192.0.2.1:4096".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DestinationPolicy {
    broadcasts: Vec<Ipv4Addr>,
    denied: Vec<Block>,
    allow_private: bool,
}

impl DestinationPolicy {
    /// Whether a datagram may be sent to this address and port. Port 0 is always refused (R4380-GU-05).
    pub fn permits(&self, to: SocketAddrV4) -> bool {
        to.port() != 0 && self.permits_address(*to.ip())
    }

    /// Whether a datagram may be sent to this address.
    pub fn permits_address(&self, address: Ipv4Addr) -> bool {
        let special = || SPECIAL.iter().any(|block| block.contains(address));
        let global = is_global_unicast(address) && (self.allow_private || !special());
        (global || self.allow_private && address.is_private())
            && !self.broadcasts.contains(&address)
            && !self.denies(address)
    }

    /// Whether the operator refuses this address ([`Self::deny`]).
    pub fn denies(&self, address: Ipv4Addr) -> bool {
        self.denied.iter().any(|block| block.contains(address))
    }

    /// The networks with an address that is not [permitted](Self::permits_address), by address and length in bits: the rest is
    /// permitted.
    pub fn refused(&self) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        let is_permitted = |block: &Block| {
            let net = Ipv4Addr::from_bits(block.net);
            self.allow_private && net.is_private()
        };
        let special: &[Block] = if self.allow_private { &[] } else { &SPECIAL };
        let refused = REFUSED.iter().filter(move |block| !is_permitted(block));
        let broadcasts = self.broadcasts.iter().map(|&address| (address, 32));
        let blocks = refused.chain(special).chain(&self.denied);
        blocks
            .map(|block| (Ipv4Addr::from_bits(block.net), block.len()))
            .chain(broadcasts)
    }

    /// Whether a datagram may be sent to a neighbour on the link, whose address need not be global (R4380-5.2.4-09).
    pub(crate) fn permits_neighbour(&self, address: Ipv4Addr) -> bool {
        !address.is_loopback()
            && !address.is_multicast()
            && !self.broadcasts.contains(&address)
            && !self.denies(address)
    }

    /// Replaces the directed broadcast addresses of the attached subnets, which RFC 4380 §5.2.4 refuses too
    /// (R4380-GU-02). Call this when an interface gains or loses an address.
    pub fn set_broadcasts(&mut self, broadcasts: Vec<Ipv4Addr>) {
        self.broadcasts = broadcasts;
    }

    /// Refuses the addresses whose first `len` bits are those of `net`; a `len` above 32 counts as 32.
    ///
    /// Use this for the operator's own networks with global addresses (R4380-GU-03, W-02).
    pub fn deny(&mut self, net: Ipv4Addr, len: u8) {
        self.denied.push(Block::new(net, len));
    }

    /// Sets whether the addresses of RFC 1918, 100.64.0.0/10 (RFC 6598), 192.0.0.0/24 and 240.0.0.0/4 are permitted
    /// (A-13). For labs only: on the Internet this exposes private networks.
    pub fn allow_private(&mut self, allow: bool) {
        self.allow_private = allow;
    }
}

/// Whether an address has "the format of a global unicast address": all except the list of RFC 4380 §5.2.4
/// (R4380-GU-01).
///
/// An address alone does not reveal a directed broadcast; [`DestinationPolicy`] knows them, and refuses more: shared
/// address space and 240.0.0.0/4 are not on the list of 2006 (R4380-GU-03). Nor are networks for documentation and
/// benchmarks, which lead nowhere, and which labs use.
pub fn is_global_unicast(address: Ipv4Addr) -> bool {
    !REFUSED.iter().any(|block| block.contains(address))
}

const REFUSED: [Block; 9] = [
    Block::new(Ipv4Addr::new(0, 0, 0, 0), 8),
    Block::new(Ipv4Addr::new(10, 0, 0, 0), 8),
    Block::new(Ipv4Addr::new(127, 0, 0, 0), 8),
    Block::new(Ipv4Addr::new(169, 254, 0, 0), 16),
    Block::new(Ipv4Addr::new(172, 16, 0, 0), 12),
    // The anycast address of 6to4 relays (RFC 3068).
    Block::new(Ipv4Addr::new(192, 88, 99, 0), 24),
    Block::new(Ipv4Addr::new(192, 168, 0, 0), 16),
    Block::new(Ipv4Addr::new(224, 0, 0, 0), 4),
    Block::new(Ipv4Addr::BROADCAST, 32),
];

/// The networks of the IANA IPv4 Special-Purpose Address Registry that are not globally reachable, are not on the list of
/// RFC 4380, and are in use inside private networks.
const SPECIAL: [Block; 3] = [
    // Shared with customers, behind a carrier's NAT (RFC 6598); overlay networks use it, too.
    SHARED,
    Block::new(Ipv4Addr::new(192, 0, 0, 0), 24),
    // Reserved, and used inside some clouds.
    Block::new(Ipv4Addr::new(240, 0, 0, 0), 4),
];

#[derive(Clone, Copy, Debug)]
struct Block {
    net: u32,
    mask: u32,
}

impl Block {
    const fn new(net: Ipv4Addr, len: u8) -> Self {
        let mask = match len {
            0 => 0,
            1..32 => u32::MAX << (32 - len),
            _ => u32::MAX,
        };
        Self {
            net: net.to_bits() & mask,
            mask,
        }
    }

    const fn len(self) -> u8 {
        // At most 32.
        self.mask.count_ones() as u8
    }

    const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.net
    }
}

#[cfg(test)]
mod tests;
