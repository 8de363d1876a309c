//! Asking clients for bubbles (RFC 4380 §5.4.1 case 3).

use std::net::{Ipv6Addr, SocketAddrV4};

use rand_core::Rng;

use super::peers::{Cause, Due, Key};
use super::{Relay, RelayConfig};
use crate::wire::{self, PORT, TeredoAddress};
use crate::{DropReason, Instant};

/// Of bubbles; nothing depends on it.
const HOP_LIMIT: u8 = 255;

impl Relay {
    /// Begins to ask a client that is not under way, in the name of `source`, who has a packet for it.
    pub(super) fn contact(
        &mut self,
        now: Instant,
        key: Key,
        source: Ipv6Addr,
    ) -> Result<(), DropReason> {
        self.begin(now, key, source, Cause::Native)
    }

    /// Begins to ask a client that nothing was sent to, and whose packets may be forged. The bubble comes from an
    /// address that nobody can guess; who answers to it is where the client's server has sent it.
    pub(super) fn challenge(&mut self, now: Instant, key: Key) -> Result<(), DropReason> {
        if !self.provoked.allow(now) {
            return Err(DropReason::TestLimit);
        }
        let token = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(self.rng.next_u64()));
        self.begin(now, key, token, Cause::Provoked)
    }

    fn begin(
        &mut self,
        now: Instant,
        key: Key,
        source: Ipv6Addr,
        cause: Cause,
    ) -> Result<(), DropReason> {
        if !self.admit(now, key, source) {
            return Err(DropReason::BubbleLimit);
        }
        self.underway.begin(now, key, source, cause);
        self.count_evictions();
        self.ask(key, source);
        Ok(())
    }

    /// Repeats what is due, and gives up what was repeated enough.
    pub(super) fn drive_contacts(&mut self, now: Instant) {
        while let Some(due) = self.underway.due(now) {
            match due {
                // One that is not admitted counts as lost on the way.
                Due::Repeat(key, source) => {
                    if self.admit(now, key, source) {
                        self.ask(key, source);
                    }
                }
                Due::GiveUp(waiting) => {
                    for packet in waiting {
                        self.drops.count(DropReason::PeerUnreachable);
                        self.report(now, &packet, |from, to, out| {
                            wire::emit_unreachable(
                                from,
                                to,
                                wire::unreachable::ADDRESS,
                                &packet,
                                out,
                            )
                        });
                    }
                }
            }
        }
    }

    fn admit(&mut self, now: Instant, key: Key, source: Ipv6Addr) -> bool {
        let target = TeredoAddress::from(key);
        let mapping = self.config.direct_bubbles.then_some(*target.mapped.ip());
        self.admission.allow(now, target.server, source, mapping)
    }

    /// DEVIATION(rfc4380 §5.4.1): bubbles come from the native host's address instead of the relay's own. A client
    /// answers four bubbles in 300 s to one address that never sends it anything else (§5.2.6), and then a one-way
    /// flow that has its path verified every 20 s would end.
    fn ask(&mut self, key: Key, source: Ipv6Addr) {
        let target = TeredoAddress::from(key);
        let direct = self.config.direct_bubbles.then_some(target.mapped);
        self.counters.bubbles += 1;
        for to in direct.into_iter().chain([server_of(target)]) {
            self.outbox.udp(to, |out| {
                wire::emit_bubble(source, target.to_ipv6(), HOP_LIMIT, out);
            });
        }
    }
}

/// Whether a client may be sent to, and its server: neither may be where nothing may be sent (§5.4.1, §5.2.4), the
/// relay itself (L-03), or the same (L-02): a server that is its own client would send to itself, again and again.
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
