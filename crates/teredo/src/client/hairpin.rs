//! Two clients behind one NAT that does not hairpin (RFC 6081 §5.6): each tells the other its local address.
//!
//! ```text
//!  A                                    NAT of both                     B
//!    ── bubble to B's mapping ──────────> x   does not come back in
//!    ── indirect bubble: nonce 1, "I am 192.168.1.2:40001" ───────────>
//!    <───────────────────────── bubble to 192.168.1.2:40001, nonce 1 ──
//! ```
//!
//! DEVIATION(rfc6081 §5.6.4.1): the local address goes only to a peer whose mapping has our own public address, and only
//! such a peer's alternate addresses are used (R6081-5.6.4.1-01, R6081-5.6.4.2-02). Nobody else can reach it, and whoever is
//! told it need not know how the network behind a NAT looks. A peer elsewhere could name any address of ours as its own.

use std::net::SocketAddrV4;

use super::{Client, Phase};
use crate::Instant;
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
        self.config.nat_traversal.passes_symmetric()
            && own != self.local
            && peer.mapped.ip() == own.ip()
    }

    /// Our local address for a peer behind the same NAT (R6081-5.6.4.1-01).
    pub(super) fn own_alternate(&self, peer: TeredoAddress) -> Option<AlternateAddresses> {
        let local = Some(self.local).filter(|_| self.shares_nat(peer));
        AlternateAddresses::new(&[local?])
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
        for &to in alternates.as_slice() {
            if to != peer.mapped
                && self.may_be_alternate(to)
                && self.budget.allow_answer(now, *to.ip())
            {
                self.push_direct_bubble(slot, to, None, own);
            }
        }
    }

    /// Whether something may be sent to an address behind our NAT.
    pub(super) fn may_be_alternate(&self, to: SocketAddrV4) -> bool {
        let is_ours = to == self.local
            || matches!(&self.phase, Phase::Qualified(service) if service.address.mapped == to);
        !is_ours && self.config.destinations.permits_neighbour(*to.ip())
    }
}

#[cfg(test)]
mod tests;
