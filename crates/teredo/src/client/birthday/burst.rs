//! The end that looks for an open port of its peer: 1,024 bubbles from the service port.

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng as _;

use super::{BATCH, BATCH_SPACING, Sent};
use crate::client::random_port::LEAST_PORT;
use crate::client::traversal::nonces_of;
use crate::client::{Client, Nat};
use crate::wire::{TeredoAddress, Trailers};
use crate::{DropReason, Instant};

/// The bubbles of a burst.
const PROBES: u32 = 1_024;
/// When a peer of the host gets a second burst, if the first one has missed: later than its answer would come.
const PAUSE: Duration = Duration::from_secs(1);
/// The ports that NATs assign.
const PORTS: u32 = 65_536 - LEAST_PORT as u32;

const _: () = assert!(PROBES.is_multiple_of(BATCH as u32));

/// A burst under way, or two.
#[derive(Debug)]
pub(super) struct Burst {
    peer: Ipv6Addr,
    ports: Ports,
    sent: u32,
    /// When the next batch leaves.
    pub(super) due: Instant,
}

/// All ports that NATs assign, each once, in an order that depends on two random numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    first: u32,
    step: u32,
}

impl Ports {
    pub(super) fn new(first: u32, step: u32) -> Self {
        // Coprime to the number of ports, so that none comes twice.
        let mut step = (step % PORTS) | 1;
        while gcd(step, PORTS) != 1 {
            step += 2;
        }
        Self {
            first: first % PORTS,
            step,
        }
    }

    pub(super) fn nth(self, number: u32) -> u16 {
        let offset = u64::from(self.first) + u64::from(number) * u64::from(self.step);
        LEAST_PORT + (offset % u64::from(PORTS)) as u16
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        _ => gcd(b, a % b),
    }
}

impl Client {
    /// Whether an indirect bubble of a peer is a question for a burst, and one may be sent. `origin` is where our own server
    /// has seen it come from.
    pub(in crate::client) fn is_asked_for_burst(
        &mut self,
        now: Instant,
        source: Ipv6Addr,
        origin: Option<SocketAddrV4>,
        trailers: &Trailers<'_>,
    ) -> bool {
        // From behind a symmetric NAT, each bubble would have another source.
        if !self.config.nat_traversal.is_eager() || self.nat == Nat::Symmetric {
            return false;
        }
        let (Some((echo, _)), Some(teredo), Some(slot)) = (
            nonces_of(trailers),
            TeredoAddress::from_ipv6(source),
            self.peers.find(&source),
        ) else {
            return false;
        };
        let peer = self.peers.peer(slot);
        let is_proven = peer.nonces.is_own(now, echo)
            && origin.is_some_and(|origin| origin.ip() == teredo.mapped.ip());
        if !is_proven || !peer.is_unmet(now) || self.check_target(teredo).is_err() {
            return false;
        }
        let drawn = peer.came_from().is_some();
        if self.birthday.burst.is_some() || !self.budget.allow_birthday(now, teredo, drawn) {
            self.drop(DropReason::BirthdayLimit);
            return false;
        }
        // A question of ours would bring the peer another nonce while the bubbles with the old one are on their way.
        self.peers.peer_mut(slot).nonces.want(now);
        true
    }

    pub(in crate::client) fn begin_burst(&mut self, now: Instant, peer: Ipv6Addr) {
        let Some(slot) = self.peers.find(&peer) else {
            return;
        };
        let drawn = self.peers.peer(slot).came_from().is_some();
        self.birthday.last = Some(Sent {
            peer,
            drawn,
            bursts: 1,
        });
        let ports = Ports::new(self.rng.next_u32(), self.rng.next_u32());
        self.birthday.burst = Some(Burst {
            peer,
            ports,
            sent: 0,
            due: now,
        });
        self.birthday.bursts += 1;
        self.drive_burst(now);
    }

    /// Sends the next batch, unless the peer has a path by now or is forgotten.
    pub(super) fn drive_burst(&mut self, now: Instant) {
        let Some(Burst {
            peer, ports, sent, ..
        }) = self.birthday.burst.take_if(|burst| burst.due <= now)
        else {
            return;
        };
        let (Some(own), Some(slot), Some(teredo)) = (
            self.own_address(),
            self.peers.find(&peer),
            TeredoAddress::from_ipv6(peer),
        ) else {
            return;
        };
        if !self.peers.peer(slot).is_unmet(now) {
            return;
        }
        let end = sent + BATCH as u32;
        if sent == PROBES {
            self.birthday.bursts += 1;
            if let Some(last) = &mut self.birthday.last {
                last.bursts = 2;
            }
        }
        for number in sent..end {
            let to = SocketAddrV4::new(*teredo.mapped.ip(), ports.nth(number));
            self.push_direct_bubble(now, slot, to, None, own);
        }
        let pause = match end {
            PROBES => self.may_burst_again(now, slot, teredo).then_some(PAUSE),
            _ => (end < 2 * PROBES).then_some(BATCH_SPACING),
        };
        self.birthday.burst = pause.map(|pause| Burst {
            peer,
            ports,
            sent: end,
            due: now + pause,
        });
    }

    /// One burst in fifty misses, so a peer of the host may have a second one.
    fn may_burst_again(&mut self, now: Instant, slot: u32, teredo: TeredoAddress) -> bool {
        let drawn = self.peers.peer(slot).came_from().is_some();
        !drawn && self.budget.allow_birthday(now, teredo, drawn)
    }
}
