//! The settings of a relay.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use crate::policy::{self, DestinationPolicy};
use crate::{DropReason, Prefix};

/// The settings of a [`Relay`](super::Relay). `new` follows the RFCs.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The public address of the service port; nothing is sent there (loop L-03). Unspecified if it is unknown, as
    /// behind a NAT.
    pub service: SocketAddrV4,
    /// The networks or the host that the relay serves.
    pub served: Served,
    /// The source address of ICMPv6 errors; without it, none are sent.
    pub error_source: Option<Ipv6Addr>,
    /// Whether bubbles also go to the client's mapping, and not just through its server. Direct bubbles open the
    /// relay's own NAT (RFC 4380 §5.4.1); a relay without one does not need them. Off.
    pub direct_bubbles: bool,
    /// Whether clients behind symmetric NATs are looked for where their answers come from. On.
    pub symmetric_clients: bool,
    /// The most trusted peers. 1,048,576, which take 40 MB.
    pub max_peers: usize,
    /// The most peers that were asked and have not answered yet. 65,536.
    pub max_underway: usize,
    /// The most bytes queued for one peer. 64 KiB.
    pub max_queue_bytes: usize,
    /// The most bytes queued for all peers. 16 MiB.
    pub max_total_queue_bytes: usize,
    /// The most bubbles to one server in a second. A native /64 can cause a quarter of them, a /48 three eighths and a
    /// /32 a half; one address receives a quarter as direct bubbles. An answered bubble does not count. 500.
    pub bubbles_per_server: u32,
    /// The bubbles in a second to all servers together from which on none is repeated; as it is approached, bubbles are
    /// repeated less often. The shares of a native /64, /48 and /32 are the same, and limit the first bubbles too. 4,000.
    pub bubbles_per_second: u32,
    /// The most bubbles in a second that datagrams of strangers provoke, and the most ICMPv6 errors. A stranger's IPv4
    /// address can provoke a quarter of them, a /24 three eighths and a /16 a half; errors go by the native networks as
    /// bubbles do. 100.
    pub unsolicited_per_second: u32,
    /// Where nothing may be sent, and from where nothing is accepted.
    pub destinations: DestinationPolicy,
}

impl RelayConfig {
    /// The settings of the RFCs.
    pub fn new(service: SocketAddrV4, served: Served) -> Self {
        Self {
            service,
            served,
            error_source: None,
            direct_bubbles: false,
            symmetric_clients: true,
            max_peers: 1 << 20,
            max_underway: 1 << 16,
            max_queue_bytes: 64 * 1024,
            max_total_queue_bytes: 16 * 1024 * 1024,
            bubbles_per_server: 500,
            bubbles_per_second: 4_000,
            unsolicited_per_second: 100,
            destinations: DestinationPolicy::default(),
        }
    }
}

/// The destinations to which a relay carries packets of clients, and the sources whose packets it carries to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A router for these networks; for the whole IPv6 Internet if the list is empty.
    ///
    /// Packets from the IPv6 Internet may have any global source, because routers on the way also send some.
    ///
    /// Special-purpose networks, such as those of NAT64 and 6to4 with a private IPv4 address, are served in neither
    /// direction, unless a network of the list lies inside them (W-02).
    Networks(Vec<Prefix>),
    /// A host-specific relay (R4380-5.4-02, R4380-5.5-03): for these addresses of its own host, in both directions.
    Host(Vec<Ipv6Addr>),
}

impl Served {
    /// Whether a client's packet to this address passes. The address is global and not Teredo.
    pub(super) fn takes(&self, ipv4: &DestinationPolicy, destination: Ipv6Addr) -> bool {
        match self {
            Self::Networks(networks) => policy::carries(networks, ipv4, destination),
            Self::Host(addresses) => addresses.contains(&destination),
        }
    }

    /// Whether a packet from this address goes to clients. The address is global and not Teredo.
    #[inline]
    pub(super) fn gives(
        &self,
        ipv4: &DestinationPolicy,
        source: Ipv6Addr,
    ) -> Result<(), DropReason> {
        match self {
            Self::Networks(networks)
                if !policy::is_special_purpose(ipv4, source)
                    || policy::carries(networks, ipv4, source) =>
            {
                Ok(())
            }
            Self::Networks(_) => Err(DropReason::NotServed),
            Self::Host(addresses) if addresses.contains(&source) => Ok(()),
            Self::Host(_) => Err(DropReason::WrongSource),
        }
    }
}

impl RelayConfig {
    /// Whether this is the relay's own address and port.
    pub(super) fn is_own(&self, to: SocketAddrV4) -> bool {
        to == self.service && *self.service.ip() != Ipv4Addr::UNSPECIFIED
    }
}
