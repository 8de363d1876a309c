//! A warm start: a client goes on with the address of the one before it, and verifies the mapping meanwhile.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::interval::{Determination, MIN_INTERVAL};
use super::{Client, Held, Nat, Phase, ServerAddress};
use crate::Instant;
use crate::wire::TeredoAddress;

/// The longest refresh interval that is taken over. No NAT keeps a mapping longer without traffic.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// An address that an earlier client of this host had from the same service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The server that gave the address.
    pub server: ServerAddress,
    /// The address, with its random bits and the mapping.
    pub address: TeredoAddress,
    /// The kind of NAT that was found.
    pub nat: Nat,
    /// The refresh interval in force, 5 to 300 s; the configured one if it is not in that range. It counts only if
    /// [`determine_refresh_interval`](super::ClientConfig::determine_refresh_interval) is on.
    pub refresh_interval: Duration,
}

impl Client {
    /// Serves at once with the address of an earlier client, so that a restart interrupts nothing, and asks the server
    /// for the mapping. If that has changed, or if the server does not answer, the client qualifies as ever.
    ///
    /// `local` and `servers` are as for [`start`](Self::start). The client starts without the address if it belongs to
    /// none of these servers, or if nothing may be sent to its server or its mapping. No server at all means that their
    /// names are not resolved yet; then the address is used, and its server is asked.
    pub fn resume(
        &mut self,
        now: Instant,
        local: SocketAddrV4,
        servers: &[ServerAddress],
        earlier: Resumption,
    ) {
        let Resumption {
            server,
            address,
            nat,
            refresh_interval,
        } = earlier;
        let stopped = matches!(self.phase, Phase::Stopped | Phase::Dormant { .. });
        if !stopped || !self.accepts(server, address, servers) {
            return self.start(now, local, servers);
        }
        self.local = local;
        self.failures = 0;
        // Until the names are resolved, the one that gave the address is as good as any.
        let known = [server];
        self.adopt_servers(if servers.is_empty() { &known } else { servers });
        if self.config.determine_refresh_interval
            && (MIN_INTERVAL..=MAX_INTERVAL).contains(&refresh_interval)
        {
            self.determination = Determination::new(refresh_interval);
        }
        self.nat = nat;
        self.held = Some(Held {
            address,
            server,
            up: false,
        });
        self.bring_address_up(now, server, address.mapped);
        self.begin_service(now, server, address, now);
        self.solicit_refresh(now);
    }

    fn accepts(
        &self,
        server: ServerAddress,
        address: TeredoAddress,
        servers: &[ServerAddress],
    ) -> bool {
        let permits = |to| self.config.destinations.permits(to);
        address.server == server.primary
            && (servers.is_empty() || servers.contains(&server))
            && [server.primary, server.secondary]
                .into_iter()
                .all(|server| permits(SocketAddrV4::new(server, crate::wire::PORT)))
            && permits(address.mapped)
    }
}
