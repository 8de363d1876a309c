//! The paths that packets may take without the client ([`PathChange`](crate::PathChange)).
//!
//! ```text
//!            a packet over the path: trusted, confirmed, not being asked, nothing waits
//!  (none) ─────────────────────────────────────────────────────────────────────────────> offered
//!     ^                                                                                      │
//!     └──────────────────────────────────────────────────────────────────────────────────────┘
//!        another path or none, a question, an entry that goes, another address or no service
//! ```
//!
//! Each change of an entry goes through [`Peers::peer_mut`](super::peers::Peers::peer_mut), which marks an offered peer.
//! `poll_path` compares the marked ones with what was offered. So no change can be forgotten.

use super::random_port::RandomPort;
use super::send::is_carried;
use super::{Client, Phase};
use crate::Instant;

impl Client {
    /// Offers the path of a peer that a packet has just taken, if all packets over it are treated alike.
    #[cold]
    #[inline(never)]
    pub(super) fn offer_path(&mut self, now: Instant, slot: u32) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let Some(path) = self.peers.peer(slot).confirmed_path(now) else {
            return;
        };
        // Behind an Internet Gateway Device, answers come from elsewhere (RFC 6081 §5.3).
        let is_symmetric = path.from == path.to;
        // All that comes from the server shows that it is alive (R4380-5.2.3-04).
        let is_ordinary =
            path.from != service.server_socket() && path.from != service.address.mapped;
        let has_port = path.port.is_none_or(|number| {
            let port = self.random_ports.get(number);
            port.is_some_and(RandomPort::is_open)
        });
        if is_symmetric && is_ordinary && has_port && is_carried(self.peers.address(slot)) {
            self.peers.offer(slot, path, service.ipv6);
        }
    }
}

#[cfg(test)]
mod tests;
