//! Asking clients for bubbles (RFC 4380 §5.4.1 case 3).

use std::net::{Ipv6Addr, SocketAddrV4};

use rand_core::Rng;

use super::admission::{Request, networks_of_ipv4};
use super::peers::{Answered, Ask, Cause, Due, Key};
use super::{Relay, RelayConfig};
use crate::wire::{self, PORT, TeredoAddress};
use crate::{DropReason, Instant};

/// The hop limit of bubbles; nothing depends on it.
pub(super) const HOP_LIMIT: u8 = 255;

impl Relay {
    /// Starts to ask a client that is not being asked yet, because `sender` has a packet for it.
    pub(super) fn contact(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
    ) -> Result<(), DropReason> {
        self.begin(now, key, sender, Cause::Native)
    }

    /// Starts to ask a client that nothing was sent to; its packets for `sender` may be forged.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
    ) -> Result<(), DropReason> {
        let claim = self.provoked.claim((), stranger(key));
        if !self.provoked.has(now, claim, 0) {
            return Err(DropReason::TestLimit);
        }
        self.begin(now, key, sender, Cause::Provoked)?;
        self.provoked.take(now, claim);
        Ok(())
    }

    /// A bubble that is answered costs its sender nothing.
    pub(super) fn give_back(&mut self, key: Key, answered: &Answered) {
        let request = self.request(key, answered.ask.sender);
        self.admission.give_back(request, answered.bubbles);
        if answered.cause == Cause::Provoked {
            let claim = self.provoked.claim((), stranger(key));
            self.provoked.give_back(claim, 1);
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        key: Key,
        sender: Ipv6Addr,
        cause: Cause,
    ) -> Result<(), DropReason> {
        let request = self.request(key, sender);
        if !self.admission.allow(now, request, 0) {
            return Err(DropReason::BubbleLimit);
        }
        let token = link_local(self.rng.next_u64());
        self.trusted.withdraw(key);
        self.underway.begin(now, key, Ask { sender, token }, cause);
        self.count_evictions();
        self.emit_bubble(key, token);
        Ok(())
    }

    /// Repeats what is due, and gives up clients that were asked often enough.
    pub(super) fn drive_contacts(&mut self, now: Instant) {
        while let Some(due) = self.underway.due(now) {
            match due {
                // A bubble beyond the limits counts as lost on the way.
                Due::Repeat(key, Ask { sender, token }, repetition) => {
                    let request = self.request(key, sender);
                    if self.admission.allow(now, request, repetition) {
                        self.underway.count_bubble(key);
                        self.emit_bubble(key, token);
                    }
                }
                Due::GiveUp(waiting) => {
                    for packet in waiting {
                        self.drops.count(DropReason::PeerUnreachable);
                        self.report(now, &packet, |from, to, out| {
                            let code = wire::unreachable::ADDRESS;
                            wire::emit_unreachable(from, to, code, &packet, out)
                        });
                    }
                }
            }
        }
    }

    fn request(&self, key: Key, sender: Ipv6Addr) -> Request {
        let target = TeredoAddress::from(key);
        Request {
            server: target.server,
            sender,
            mapping: self.config.direct_bubbles.then_some(*target.mapped.ip()),
        }
    }

    /// Sends a bubble. Its source, the "local IPv6 address" (R4380-5.4.1-05), is link-local and random for each client
    /// that is asked, as with the relays of `miredo`. An answer to it proves that the client received the bubble. A
    /// constant address would not do: a client answers four bubbles in 300 s to an address that sends it nothing else
    /// (§5.2.6), so the paths of one-way flows could not be verified for long.
    fn emit_bubble(&mut self, key: Key, token: Ipv6Addr) {
        let target = TeredoAddress::from(key);
        // R4380-5.4.1-09
        let direct = self.config.direct_bubbles.then_some(target.mapped);
        self.counters.bubbles += 1;
        for to in direct.into_iter().chain([server_of(target)]) {
            self.outbox.udp(to, |out| {
                wire::emit_bubble(token, target.to_ipv6(), HOP_LIMIT, out);
            });
        }
    }
}

/// The networks of a stranger. Its address and port are in its Teredo address; ports are free.
fn stranger(key: Key) -> [u64; 3] {
    networks_of_ipv4(*TeredoAddress::from(key).mapped.ip())
}

pub(super) fn link_local(identifier: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier))
}

/// Checks that a client and its server may be sent to. Neither may be a refused destination (R4380-5.4.1-02) or the
/// relay itself (L-03). They must differ (L-02), because a server that is its own client would send to itself
/// endlessly.
pub(super) fn check(config: &RelayConfig, target: TeredoAddress) -> Result<(), DropReason> {
    let server = server_of(target);
    if config.is_own(target.mapped) || config.is_own(server) {
        Err(DropReason::OwnAddress)
    } else if target.mapped == server {
        Err(DropReason::SelfLoop)
    } else if config.destinations.permits(target.mapped) && config.destinations.permits(server) {
        Ok(())
    } else {
        Err(DropReason::RefusedDestination)
    }
}

fn server_of(target: TeredoAddress) -> SocketAddrV4 {
    SocketAddrV4::new(target.server, PORT)
}
