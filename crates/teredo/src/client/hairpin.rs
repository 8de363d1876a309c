//! Two clients behind one NAT that does not hairpin (RFC 6081 §5.6): each tells the other its local address.
//!
//! ```text
//!  A                                    NAT of both                     B
//!    ── bubble to B's mapping ──────────> x   does not come back in
//!    ── indirect bubble: nonce 1, "I am 192.168.1.2:40001" ───────────>
//!    <───────────────────────── bubble to 192.168.1.2:40001, nonce 1 ──
//! ```
//!
//! DEVIATION(rfc6081 §5.6.4.1): the local address goes only to a peer whose mapping has our own public address, and
//! only such a peer's alternate addresses are used (R6081-5.6.4.1-01, R6081-5.6.4.2-02). Other peers cannot reach the
//! local address, and need not know the network behind our NAT. They could also name any address in it as their own.

use std::net::SocketAddrV4;

use super::random_port::LEAST_PORT;
use super::{Client, Phase};
use crate::Instant;
use crate::policy::is_shared;
use crate::wire::{AlternateAddresses, TeredoAddress, Trailer, Trailers};

/// The alternate addresses behind an indirect bubble. Of several lists, the last one counts (R6081-5.1.2-01), and a
/// malformed one is none (R6081-5.6.4.2-01).
pub(super) fn alternates_of(trailers: &Trailers<'_>) -> Option<AlternateAddresses> {
    let lists = trailers.iter().filter_map(|trailer| match trailer {
        Trailer::AlternateAddresses(addresses) => Some(addresses),
        _ => None,
    });
    lists.last()
}

impl Client {
    /// Whether a peer is behind our own NAT, as far as the mappings tell.
    pub(super) fn shares_nat(&self, peer: TeredoAddress) -> bool {
        let Phase::Qualified(service) = &self.phase else {
            return false;
        };
        let own = service.address.mapped;
        self.config.nat_traversal.extends_rfc4380()
            && own != self.local
            && peer.mapped.ip() == own.ip()
    }

    /// Our local address for a peer behind the same NAT (R6081-5.6.4.1-01). It goes through our own server alone: an
    /// attacker can make up an address with our public address and a server that listens.
    pub(super) fn own_alternate(&self, peer: TeredoAddress) -> Option<AlternateAddresses> {
        let Phase::Qualified(service) = &self.phase else {
            return None;
        };
        let is_ours = peer.server == service.address.server;
        if !is_ours || !self.shares_nat(peer) {
            return None;
        }
        // RFC 6081 §5.6.4.1: behind several NATs, also what the innermost one has opened.
        match self.inner_mapping() {
            Some(inner) => AlternateAddresses::new(&[self.local, inner]),
            None => AlternateAddresses::new(&[self.local]),
        }
    }

    /// Sends a direct bubble to each alternate address of a peer that is not established (R6081-6.5-01): at most four, one
    /// each (R6081-5.6.4.2-02, R6081-7-02).
    pub(super) fn try_alternates(
        &mut self,
        now: Instant,
        slot: u32,
        peer: TeredoAddress,
        alternates: AlternateAddresses,
    ) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let own = service.ipv6;
        if !self.shares_nat(peer) || self.peers.peer(slot).path(now).is_some() {
            return;
        }
        let all = alternates.as_slice();
        for (number, &to) in all.iter().enumerate() {
            if to != peer.mapped
                && !all[..number].contains(&to)
                && self.may_be_alternate(to)
                && self.budget.allow_answer(now, *to.ip())
            {
                self.push_direct_bubble(now, slot, to, None, own);
            }
        }
    }

    /// Whether something may be sent to an address behind our NAT: a private one, a carrier's or one on the link, with a
    /// port that programs choose, and not on this host.
    pub(super) fn may_be_alternate(&self, to: SocketAddrV4) -> bool {
        let ip = *to.ip();
        let is_inside = ip.is_private() || is_shared(ip) || self.discovery.reaches(to);
        is_inside
            && to.port() >= LEAST_PORT
            && ip != *self.local.ip()
            && self.config.destinations.permits_neighbour(ip)
    }
}

#[cfg(test)]
mod tests;
