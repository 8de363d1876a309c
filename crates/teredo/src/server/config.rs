//! What a server can be told.

use crate::ServerAddress;
use crate::policy::DestinationPolicy;

/// The settings of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server's two addresses, both with port 3544 open. The primary one stands in its clients' addresses.
    /// Without a second address (both the same) a solicitation with the cone bit is not answered.
    pub address: ServerAddress,
    /// The MTU announced to clients, in bytes. 1280 (RFC 4380 §5.1.2).
    pub mtu: u32,
    /// Where nothing may be sent, and from where nothing is taken.
    pub destinations: DestinationPolicy,
    /// The most bytes behind an IPv6 packet; all trailers of RFC 6081 together take 44. 64.
    pub max_trailer_bytes: usize,
    /// The longest ICMPv6 message relayed, in bytes. 88: a `ping` of ordinary size passes, a data channel
    /// made of echo requests does not pay.
    pub max_icmpv6_bytes: usize,
}

impl ServerConfig {
    /// The settings that the RFCs ask for.
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            mtu: crate::wire::MTU as u32,
            destinations: DestinationPolicy::default(),
            max_trailer_bytes: 64,
            max_icmpv6_bytes: 88,
        }
    }
}
