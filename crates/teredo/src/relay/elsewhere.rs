//! Clients behind symmetric NATs, which are not at the mapping in their address.
//!
//! RFC 6081 has no way from such a client to a native host: a relay sends to the mapping in the address alone
//! (RFC 4380 §5.4.2), and the NAT has another one for the relay. The client answers the relay's bubble from that one.
//! If the relay believed the answer at once, a client with a forged IPv4 source could direct its traffic at any host.
//! So the relay asks a second time, there:
//!
//! ```text
//!  relay                               client's server                client, behind a symmetric NAT
//!    ── bubble from token 1 ─────────────────> ── indirect ──────────────>
//!    <──────────────────────────── bubble to token 1, from mapping M ─────
//!    ── bubble from token 2, to M ───────────────────────────────────────>
//!    <──────────────────────────── bubble to token 2, from M ─────────────
//!    ── what waited, to M ───────────────────────────────────────────────>
//! ```
//!
//! The first token goes to the server in the address, and on to the client; the second one goes to M. A sender that
//! knows both receives at M, and is the client or its server. Both are random, of 64 bits.
//!
//! A client's server can take its place here, as it can give it a false address. The way back to the mapping in the
//! address is the same: while the client is heard at M, a datagram from elsewhere does not count as its own.
//!
//! DEVIATION(rfc4380 §5.4.2): packets of such a client are accepted from the mapping that it has proven, and not only from
//! the one in its address (R4380-5.4.2-02).

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use rand_core::Rng as _;

use super::Relay;
use super::contact::{HOP_LIMIT, link_local};
use super::peers::{Key, Moved};
use crate::slots::{Bounds, SipKeys, Slots};
use crate::wire::{self, TeredoAddress};
use crate::{DropReason, Instant};

/// The most of these clients, with some 150 bytes each.
const MOST: usize = 1 << 16;
/// The most at one IPv4 address: it is scarce to an attacker, and Teredo addresses are not. A carrier's NAT has some
/// hundred customers to an address.
const MOST_AT_ONE: usize = MOST / 64;

/// Where these clients are.
#[derive(Debug)]
pub(super) struct Elsewhere {
    clients: Slots<Key, SocketAddrV4, 1>,
    /// The clients at each IPv4 address, in the order in which they were found.
    at: HashMap<Ipv4Addr, VecDeque<Key>, SipKeys>,
}

impl Elsewhere {
    pub(super) fn new(keys: SipKeys) -> Self {
        let bounds = Bounds {
            peers: MOST,
            queue_bytes: 0,
            total_queue_bytes: 0,
        };
        Self {
            clients: Slots::new(bounds, keys),
            at: HashMap::with_hasher(keys),
        }
    }

    /// The mapping of a client that is not at the one in its address. Without such clients, this costs nothing.
    pub(super) fn find(&self, key: Key) -> Option<SocketAddrV4> {
        if self.clients.len() == 0 {
            return None;
        }
        let slot = self.clients.find(&key)?;
        Some(self.clients[slot])
    }

    /// The client was heard at its mapping: it makes room last.
    pub(super) fn heard(&mut self, key: Key) {
        if let Some(slot) = self.clients.find(&key) {
            self.clients.touch(slot);
        }
    }

    /// The client is there. The one that was found first at this IPv4 address makes room, or in a full table the one that
    /// was heard least recently. `moved` gets the clients whose packets go elsewhere from now on.
    fn learn(&mut self, key: Key, mapping: SocketAddrV4, moved: &mut impl FnMut(Key)) {
        if let Some(slot) = self.clients.find(&key) {
            if self.clients[slot].ip() == mapping.ip() {
                moved(key);
                self.clients[slot] = mapping;
                return self.clients.touch(slot);
            }
            self.remove(slot, moved);
        }
        let there = self.at.get(mapping.ip());
        if let Some(&first) = there
            .filter(|there| there.len() >= MOST_AT_ONE)
            .and_then(VecDeque::front)
        {
            self.forget(first, moved);
        }
        if let Some(oldest) = self.clients.surplus() {
            self.remove(oldest, moved);
        }
        moved(key);
        self.clients.insert(key, mapping);
        self.at.entry(*mapping.ip()).or_default().push_back(key);
    }

    /// The client is where its address says.
    pub(super) fn forget(&mut self, key: Key, moved: &mut impl FnMut(Key)) {
        if self.clients.len() > 0
            && let Some(slot) = self.clients.find(&key)
        {
            self.remove(slot, moved);
        }
    }

    pub(super) fn retain(
        &mut self,
        keep: impl Fn(Key, SocketAddrV4) -> bool,
        moved: &mut impl FnMut(Key),
    ) {
        let entries = self.clients.iter();
        let refused: Vec<u32> = entries
            .filter(|&(_, key, mapping)| !keep(key, *mapping))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in refused {
            self.remove(slot, moved);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    fn remove(&mut self, slot: u32, moved: &mut impl FnMut(Key)) {
        let (key, address) = (self.clients.key(slot), *self.clients[slot].ip());
        moved(key);
        self.clients.evict(slot);
        if let Some(there) = self.at.get_mut(&address) {
            there.retain(|&other| other != key);
            if there.is_empty() {
                self.at.remove(&address);
            }
        }
    }
}

impl Relay {
    /// Takes in a bubble from elsewhere than its address says.
    pub(super) fn met_elsewhere(
        &mut self,
        now: Instant,
        key: Key,
        from: SocketAddrV4,
        bubble_to: Option<Ipv6Addr>,
    ) -> Result<(), DropReason> {
        let bubble_to = bubble_to.ok_or(DropReason::MappingMismatch)?;
        // R4380-GU-04
        if !self.config.symmetric_clients
            || !self.config.destinations.permits(from)
            || self.config.is_own(from)
        {
            return Err(DropReason::MappingMismatch);
        }
        let fresh = link_local(self.rng.next_u64());
        match self.underway.moved(key, bubble_to, from, fresh) {
            Moved::Unknown => Err(DropReason::MappingMismatch),
            Moved::Asked => {
                self.counters.bubbles_received += 1;
                self.counters.bubbles += 1;
                let target = TeredoAddress::from(key).to_ipv6();
                self.outbox
                    .udp(from, |out| wire::emit_bubble(fresh, target, HOP_LIMIT, out));
                Ok(())
            }
            Moved::Proven(token) => {
                self.counters.bubbles_received += 1;
                let trusted = &mut self.trusted;
                self.elsewhere
                    .learn(key, from, &mut |moved| trusted.withdraw(moved));
                self.heard(now, key, Some(token), from);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
