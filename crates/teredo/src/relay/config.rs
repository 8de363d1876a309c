//! What a relay can be told.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::str::FromStr;

use crate::policy::DestinationPolicy;

/// The settings of a [`Relay`](super::Relay). `new` is what the RFCs ask for.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The service port as the Internet sees it; nothing is sent there (loop L-03). An address that is not known,
    /// as behind a NAT, is unspecified.
    pub service: SocketAddrV4,
    /// For whom the relay works.
    pub served: Served,
    /// The address that ICMPv6 errors come from; none are sent without.
    pub error_source: Option<Ipv6Addr>,
    /// Whether bubbles go to the client's mapping as well as through its server. They open the relay's own NAT
    /// (RFC 4380 §5.4.1), and are of no use to a relay without one. Off.
    pub direct_bubbles: bool,
    /// The most trusted peers remembered. 1,048,576, which take 40 MB.
    pub max_peers: usize,
    /// The most peers under way: asked, and not answered yet. 65,536.
    pub max_underway: usize,
    /// The most bytes that wait for one peer. 64 KiB.
    pub max_queue_bytes: usize,
    /// The most bytes that wait for all peers. 16 MiB.
    pub max_total_queue_bytes: usize,
    /// The most bubbles to one server in a second. One native network may have a quarter of them sent, and a
    /// quarter is what goes to one address as direct bubbles. 500.
    pub bubbles_per_server: u32,
    /// The most bubbles in a second that datagrams of strangers provoke, and the most ICMPv6 errors. 100.
    pub unsolicited_per_second: u32,
    /// Where nothing may be sent, and from where nothing is taken.
    pub destinations: DestinationPolicy,
}

impl RelayConfig {
    /// The settings that the RFCs ask for.
    pub fn new(service: SocketAddrV4, served: Served) -> Self {
        Self {
            service,
            served,
            error_source: None,
            direct_bubbles: false,
            max_peers: 1 << 20,
            max_underway: 1 << 16,
            max_queue_bytes: 64 * 1024,
            max_total_queue_bytes: 16 * 1024 * 1024,
            bubbles_per_server: 500,
            unsolicited_per_second: 100,
            destinations: DestinationPolicy::default(),
        }
    }
}

/// For whom a relay works: where packets of Teredo clients may go, and whose packets go to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A router for these networks; for the whole IPv6 Internet where there are none in the list.
    ///
    /// What comes from the IPv6 Internet may have any global source: a router on the way has things to say as well.
    Networks(Vec<Prefix>),
    /// A host-specific relay (R4380-5.4-02, R4380-5.5-03): for these addresses, its own, and nobody else, either way.
    Host(Vec<Ipv6Addr>),
}

impl Served {
    /// Whether a packet of a client for this address, which is global and not Teredo, is let through.
    pub(super) fn takes(&self, destination: Ipv6Addr) -> bool {
        match self {
            Self::Networks(networks) => {
                networks.is_empty() || networks.iter().any(|net| net.contains(destination))
            }
            Self::Host(addresses) => addresses.contains(&destination),
        }
    }

    /// Whether a packet from this address, which is global and not Teredo, goes to clients.
    pub(super) fn gives(&self, source: Ipv6Addr) -> bool {
        match self {
            Self::Networks(_) => true,
            Self::Host(addresses) => addresses.contains(&source),
        }
    }
}

/// The addresses that begin with the same bits.
///
/// ```
/// use teredo::Prefix;
///
/// let site: Prefix = "2001:db8:1::/48".parse()?;
/// assert!(site.contains("2001:db8:1:2::3".parse()?));
/// assert!(!site.contains("2001:db8:2::".parse()?));
/// assert_eq!(site.to_string(), "2001:db8:1::/48");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    /// The prefix of the first `len` bits of `address`; a `len` above 128 counts as 128.
    pub const fn new(address: Ipv6Addr, len: u8) -> Self {
        let len = if len > 128 { 128 } else { len };
        Self {
            bits: address.to_bits() & mask(len),
            len,
        }
    }

    /// Whether an address begins so.
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & mask(self.len) == self.bits
    }
}

const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        len => u128::MAX << (128 - len),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits), self.len)
    }
}

/// Why a text is no [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IPv6 prefix such as 2001:db8::/32")]
pub struct PrefixError;

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Bits behind the prefix are not an error; they are what `ip -6 address` prints.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text.split_once('/').ok_or(PrefixError)?;
        let address = address.parse().map_err(|_| PrefixError)?;
        match len.parse() {
            Ok(len @ 0..=128) if !len_is_odd(text) => Ok(Self::new(address, len)),
            _ => Err(PrefixError),
        }
    }
}

/// Whether the length is written with a sign, which `u8::from_str` would let pass.
fn len_is_odd(text: &str) -> bool {
    text.contains("/+")
}

impl RelayConfig {
    /// Whether an address and port is the relay's own.
    pub(super) fn is_own(&self, to: SocketAddrV4) -> bool {
        to == self.service && *self.service.ip() != Ipv4Addr::UNSPECIFIED
    }
}

#[cfg(test)]
mod tests;
