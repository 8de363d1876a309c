//! The settings of a client.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::NatTraversal;
use crate::Keyring;
use crate::policy::DestinationPolicy;

/// A Teredo server: two IPv4 addresses of one host (R4380-5.2-01).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// The address that is part of its clients' Teredo addresses.
    pub primary: Ipv4Addr,
    /// The address that reveals a NAT that maps by destination.
    pub secondary: Ipv4Addr,
}

impl ServerAddress {
    /// The usual pair of deployed servers if only the primary address is known: the secondary address is the next one.
    pub fn adjacent(primary: Ipv4Addr) -> Self {
        Self {
            primary,
            secondary: Ipv4Addr::from(u32::from(primary).wrapping_add(1)),
        }
    }
}

/// The settings of a [`Client`](crate::Client). `default()` follows the RFCs.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// How long a NAT is trusted to keep a mapping without traffic. Each refresh comes after a random 75 % to 100 % of
    /// this (RFC 4380 §5.2). 30 s.
    pub refresh_interval: Duration,
    /// How long a router solicitation waits for its answer, T of RFC 4380 §5.2.1. 4 s (R4380-5.2.1-03).
    pub solicitation_timeout: Duration,
    /// How often a router solicitation is sent before a server counts as silent, N of RFC 4380 §5.2.1. 3.
    pub solicitation_attempts: u32,
    /// With several servers, the delay before the next one is asked as well. 1 s.
    pub server_stagger: Duration,
    /// The first wait after a failed qualification; it doubles up to [`Self::max_backoff`]. 1 s.
    pub min_backoff: Duration,
    /// The longest wait between two attempts to qualify. 5 min.
    pub max_backoff: Duration,
    /// The most peers remembered. 65,536.
    pub max_peers: usize,
    /// The most bytes queued for one peer. 64 KiB.
    pub max_queue_bytes: usize,
    /// The most bytes queued for all peers. 4 MiB.
    pub max_total_queue_bytes: usize,
    /// Whether to look for clients on the same link (R4380-5.2-07, R4380-7.3.4-01), once
    /// [`set_local_subnet`](crate::Client::set_local_subnet) has named the link. On: few NATs hairpin, and neighbours
    /// behind the others cannot reach each other without it.
    pub local_discovery: bool,
    /// Whether to look for the longest refresh interval (RFC 4380 §5.2.7), from 5 s up to four times
    /// [`Self::refresh_interval`].
    /// Off: the search keeps a second port open for minutes.
    pub determine_refresh_interval: bool,
    /// How to get through NATs. By RFC 6081.
    pub nat_traversal: NatTraversal,
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
            nat_traversal: NatTraversal::default(),
            destinations: DestinationPolicy::default(),
            keyring: Keyring::default(),
        }
    }
}
