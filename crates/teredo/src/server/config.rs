//! What a server can be told.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::RelayLimits;
use crate::policy::DestinationPolicy;
use crate::{KnownClients, ServerAddress};

/// Whether clients have to prove who they are (RFC 4380 §5.2.2).
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Nobody is known: everybody is answered, with the nonce that they sent.
    #[default]
    Open,
    /// Who names an identifier has to prove it; who names none is answered as if nobody were known.
    Optional(Arc<KnownClients>),
    /// Only known clients are answered (RFC 4380 §5.3.1 rule 4).
    Required(Arc<KnownClients>),
}

/// The settings of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server's two addresses, both with port 3544 open. The primary one stands in its clients' addresses.
    /// Without a second address (both the same) a solicitation with the cone bit is not answered.
    pub address: ServerAddress,
    /// Other addresses of this host on which Teredo is served, by other servers of the same process: nothing is sent
    /// to them or taken from them (loop L-01). None.
    pub neighbours: Vec<Ipv4Addr>,
    /// Whom the server answers. [`Security::Open`].
    pub security: Security,
    /// What is passed on at the most.
    pub limits: RelayLimits,
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
            neighbours: Vec::new(),
            security: Security::Open,
            limits: RelayLimits::default(),
            mtu: crate::wire::MTU as u32,
            destinations: DestinationPolicy::default(),
            max_trailer_bytes: 64,
            max_icmpv6_bytes: 88,
        }
    }
}
