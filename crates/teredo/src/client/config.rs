//! What a client can be told.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::Keyring;
use crate::policy::DestinationPolicy;

/// A Teredo server: two IPv4 addresses of one host (R4380-5.2-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// The address that stands in the Teredo addresses of its clients.
    pub primary: Ipv4Addr,
    /// The address that shows whether the NAT maps by destination.
    pub secondary: Ipv4Addr,
}

impl ServerAddress {
    /// The pair that deployed servers use where only one address is known: the secondary one follows the primary one.
    pub fn adjacent(primary: Ipv4Addr) -> Self {
        Self {
            primary,
            secondary: Ipv4Addr::from(u32::from(primary).wrapping_add(1)),
        }
    }
}

/// The settings of a [`Client`](crate::Client). `default()` is what the RFCs ask for.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// After how long without word from the server the NAT mapping may be gone. Drawn anew for each round
    /// from 75 % to 100 % of this (RFC 4380 §5.2). 30 s.
    pub refresh_interval: Duration,
    /// How long a router solicitation waits for its answer, T of RFC 4380 §5.2.1. 4 s (R4380-5.2.1-03).
    pub solicitation_timeout: Duration,
    /// Transmissions of a router solicitation before a server counts as silent, N of RFC 4380 §5.2.1. 3.
    pub solicitation_attempts: u32,
    /// When several servers are known, how long one may take before the next is asked as well. 1 s.
    pub server_stagger: Duration,
    /// The first wait after a failed qualification; it doubles up to [`Self::max_backoff`]. 1 s.
    pub min_backoff: Duration,
    /// The longest wait between two attempts to qualify. 5 min.
    pub max_backoff: Duration,
    /// The most peers remembered. 65,536.
    pub max_peers: usize,
    /// The most bytes that wait for one peer. 64 KiB.
    pub max_queue_bytes: usize,
    /// The most bytes that wait for all peers. 4 MiB.
    pub max_total_queue_bytes: usize,
    /// Whether clients on the same link are looked for (R4380-5.2-07, R4380-7.3.4-01), once
    /// [`set_local_subnet`](crate::Client::set_local_subnet) has named the link. On: few NATs lead from one of
    /// their hosts to another, so that without it neighbours cannot reach each other.
    pub local_discovery: bool,
    /// Whether a longer refresh interval is looked for (RFC 4380 §5.2.7), up to four times
    /// [`Self::refresh_interval`]. Off: it keeps a second port open for minutes, and finds something only behind
    /// a NAT that hairpins.
    pub determine_refresh_interval: bool,
    /// Where nothing may be sent.
    pub destinations: DestinationPolicy,
    /// The identifiers and secrets for secure qualification (RFC 4380 §5.2.2). None.
    pub keyring: Keyring,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(30),
            solicitation_timeout: Duration::from_secs(4),
            solicitation_attempts: 3,
            server_stagger: Duration::from_secs(1),
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
            max_peers: 65_536,
            max_queue_bytes: 64 * 1024,
            max_total_queue_bytes: 4 * 1024 * 1024,
            local_discovery: true,
            determine_refresh_interval: false,
            destinations: DestinationPolicy::default(),
            keyring: Keyring::default(),
        }
    }
}
