//! The search for the longest refresh interval (RFC 4380 §5.2.7). A second port stays idle for ever longer times, and then
//! a bubble from the service port tests whether its mapping still exists.
//!
//! ```text
//!  Off ──> Opening ──> Qualifying ──> Resting ── candidate over ──> Probing ── arrived, or four lost ──┐
//!   ^         │ no port    │ failed      ^                                                             │ arithmetic
//!   ├─────────┴────────────┘             └── advertisement ── Maintaining <── not concluded ───────────┤
//!   │                                                          │       ^                               │
//!   │                                          advertisement   v       │ 3 s                           │
//!   │                                     (through the server) Settling                                │
//!   └───────────────────────────────────────────────────────────── concluded ──────────────────────────┘
//! ```
//!
//! The bubble has to hairpin in the NAT (RFC 4787 §6). A NAT that does not hairpin, a NAT that filters by address or
//! port, and a host firewall, which does not know the second port, all make every candidate fail. Then the client's own
//! server passes the bubbles on (see [`way`]). If they do not arrive either, the interval stays as it is
//! (R4380-5.2.7-09). Nothing is opened for the search.
//!
//! Every candidate also fails behind a NAT that forgets before the interval in force. To tell the two apart, a bubble
//! follows at once on an exchange with the server. If it arrives, the interval itself is a candidate, and then shorter
//! ones.

mod way;

use std::net::{Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_core::Rng;

use super::qualify::{check_advertisement, emit_solicitation};
use super::{Client, Event, Nat, Phase};
use crate::wire::{self, Datagram, Flags, PORT, TeredoAddress};
use crate::{DropReason, Instant, Reception};
use way::Way;

/// How long a bubble to the secondary port may take, and how often it is sent (R4380-5.2.7-04).
const BUBBLE_TIMEOUT: Duration = Duration::from_secs(2);
const BUBBLES: u32 = 4;

/// The shortest interval of the search. A shorter one costs the server more than it is worth.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// The state of the search.
#[derive(Debug)]
pub(super) struct Determination {
    /// The refresh interval in force.
    pub(super) refresh: Duration,
    /// The interval to begin the next search with, if a mapping was lost within the one in force.
    shortened: Option<Duration>,
    /// The upper bound of the search.
    max: Duration,
    way: Way,
    range: Range,
    candidate: Duration,
    stage: Stage,
    /// The source of the secondary port's solicitations.
    link_local: Ipv6Addr,
}

/// Which candidates are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// Longer ones than the interval that the search began with, as the RFC says.
    Longer {
        /// Whether one of them succeeded.
        found: bool,
    },
    /// None: whether a bubble reaches the secondary port at all.
    Control,
    /// That interval and shorter ones.
    Shorter {
        /// The longest that succeeded.
        longest: Option<Duration>,
    },
}

#[derive(Debug)]
enum Stage {
    /// Not wanted, impossible, or done.
    Off,
    /// The caller has been asked to open the secondary port.
    Opening,
    /// Both addresses of the server are asked from the secondary port.
    Qualifying {
        asks: [Ask; 2],
        attempts: u32,
        due: Instant,
    },
    /// The secondary port stays idle until this instant.
    Resting {
        address: TeredoAddress,
        until: Instant,
    },
    /// Bubbles are on their way to the secondary port.
    Probing {
        address: TeredoAddress,
        attempts: u32,
        due: Instant,
    },
    /// The server is asked again at this instant, before the rest.
    Settling { until: Instant },
    /// The server is asked for the secondary port's mapping.
    Maintaining {
        /// Whether it was asked a moment ago, too.
        is_settled: bool,
        nonce: [u8; 8],
        attempts: u32,
        due: Instant,
    },
}

/// A solicitation to one address of the server.
#[derive(Clone, Copy, Debug, Default)]
struct Ask {
    nonce: Option<[u8; 8]>,
    mapping: Option<SocketAddrV4>,
}

impl Determination {
    pub(super) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            shortened: None,
            way: Way::Hairpin,
            range: Range::Longer { found: false },
            // 120 s and 60 s for the usual 30 s (R4380-5.2.7-03).
            max: refresh * 4,
            candidate: refresh * 2,
            stage: Stage::Off,
            link_local: Ipv6Addr::UNSPECIFIED,
        }
    }

    /// When the next step is due, while the client is in service.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Off | Stage::Opening => None,
            Stage::Resting { until, .. } | Stage::Settling { until } => Some(until),
            Stage::Qualifying { due, .. }
            | Stage::Probing { due, .. }
            | Stage::Maintaining { due, .. } => Some(due),
        }
    }

    /// Steps 4 and 5: records the outcome, and returns whether the search is over (R4380-5.2.7-05, R4380-5.2.7-06).
    ///
    /// DEVIATION(rfc4380 §5.2.7): the search for a longer refresh interval also ends after a success, at 75 % of the
    /// possible range (A-05). Behind a NAT that never forgets, it would go on for ever with shrinking gains and keep
    /// its port open.
    fn conclude(&mut self, succeeded: bool) -> bool {
        let range = self.range;
        let over = self.conclude_range(succeeded);
        if over && self.was_in_vain(range, succeeded) {
            self.start_over_through_server();
            return false;
        }
        over
    }

    fn conclude_range(&mut self, succeeded: bool) -> bool {
        match &mut self.range {
            Range::Longer { found } => {
                *found |= succeeded;
                let found = *found;
                let over = self.conclude_longer(succeeded);
                if !over || found || self.refresh <= MIN_INTERVAL {
                    return over;
                }
                self.range = Range::Control;
                self.candidate = Duration::ZERO;
                false
            }
            Range::Control => {
                self.range = Range::Shorter { longest: None };
                self.candidate = self.refresh;
                !succeeded
            }
            Range::Shorter { longest } => {
                if succeeded {
                    *longest = Some(self.candidate);
                } else {
                    self.max = self.candidate;
                }
                let longest = *longest;
                self.conclude_shorter(longest)
            }
        }
    }

    /// DEVIATION(rfc4380 §5.2.7): the search also finds a refresh interval below 30 s. The RFC assumes that no NAT
    /// forgets earlier, but some do after 15 s, and their clients are unreachable for half of the time.
    fn conclude_shorter(&mut self, longest: Option<Duration>) -> bool {
        // An interval that is known to fail is not in force; half of it is, until more is known.
        self.refresh = longest.unwrap_or_else(|| (self.max / 2).max(MIN_INTERVAL));
        self.candidate = match longest {
            Some(longest) => (longest + self.max) / 2,
            None => self.refresh,
        };
        match longest {
            Some(longest) => longest * 4 >= self.max * 3,
            None => self.max <= MIN_INTERVAL,
        }
    }

    fn conclude_longer(&mut self, succeeded: bool) -> bool {
        if succeeded {
            self.refresh = self.candidate;
        } else {
            self.max = self.candidate;
        }
        let mean = (self.refresh + self.max) / 2;
        self.candidate = if succeeded {
            mean.min(self.refresh * 2)
        } else {
            mean
        };
        self.refresh * 4 >= self.max * 3
    }
}

impl Client {
    /// Starts over after a new address: it may mean a new NAT, for which earlier findings are void.
    pub(super) fn restart_determination(&mut self) {
        self.end_determination();
        let shortened = self.determination.shortened;
        self.determination = Determination::new(shortened.unwrap_or(self.config.refresh_interval));
        if self.config.determine_refresh_interval {
            self.determination.stage = Stage::Opening;
            self.events.push_back(Event::SecondaryPort { wanted: true });
        }
    }

    /// The NAT gave the service port another port within the interval in force: it forgot the mapping, and the search
    /// for the interval would never end if it went on from there.
    pub(super) fn note_lost_mapping(&mut self) {
        if self.config.determine_refresh_interval {
            let half = self.determination.refresh / 2;
            let shortened = half.max(MIN_INTERVAL).min(self.config.refresh_interval);
            self.determination.shortened = Some(shortened);
        }
    }

    /// Closes the secondary port (R4380-5.2.7-08); the interval that was found stays (R4380-5.2.7-02).
    pub(super) fn end_determination(&mut self) {
        if !matches!(self.determination.stage, Stage::Off) {
            self.determination.stage = Stage::Off;
            let closed = Event::SecondaryPort { wanted: false };
            self.events.push_back(closed);
        }
    }

    /// Answers [`Event::SecondaryPort`]: the secondary port is open at this local address, or `None` if it could not be
    /// opened.
    pub fn secondary_port(&mut self, now: Instant, local: Option<SocketAddrV4>) {
        if !matches!(self.determination.stage, Stage::Opening) {
            return;
        }
        let Some(local) = local else {
            return self.end_determination();
        };
        self.determination.link_local = wire::link_local(Flags::default(), local);
        self.determination.stage = Stage::Qualifying {
            asks: [Ask::default(); 2],
            attempts: 0,
            due: now,
        };
        self.drive_determination(now);
    }

    pub(super) fn drive_determination(&mut self, now: Instant) {
        if self.determination.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        match self.determination.stage {
            Stage::Off | Stage::Opening => {}
            Stage::Qualifying { asks, attempts, .. } => self.ask_for_mapping(now, asks, attempts),
            Stage::Resting { address, .. } => self.probe(now, address, 0),
            Stage::Probing {
                address, attempts, ..
            } if attempts < BUBBLES => self.probe(now, address, attempts),
            Stage::Probing { .. } => self.decide(now, false),
            Stage::Settling { .. } => self.maintain_secondary(now, true, 0),
            Stage::Maintaining {
                is_settled,
                attempts,
                ..
            } => self.maintain_secondary(now, is_settled, attempts),
        }
    }

    /// Step 0: the secondary port qualifies as the service port did, with the same server (R4380-5.2.7-01).
    fn ask_for_mapping(&mut self, now: Instant, mut asks: [Ask; 2], attempts: u32) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let server = service.server;
        if attempts >= self.config.solicitation_attempts {
            return self.end_determination();
        }
        let source = self.determination.link_local;
        let credentials = self.config.keyring.get(server.primary);
        for (ask, to) in asks.iter_mut().zip([server.primary, server.secondary]) {
            if ask.mapping.is_none() {
                let nonce = self.rng.next_u64().to_be_bytes();
                ask.nonce = Some(nonce);
                self.outbox.secondary(SocketAddrV4::new(to, PORT), |out| {
                    emit_solicitation(nonce, credentials, source, out)
                });
            }
        }
        self.determination.stage = Stage::Qualifying {
            asks,
            attempts: attempts + 1,
            due: now + self.config.solicitation_timeout,
        };
    }

    /// Step 2: a bubble from the service port to the secondary Teredo address (R4380-5.2.7-04).
    fn probe(&mut self, now: Instant, address: TeredoAddress, attempts: u32) {
        // The mapping was checked when the server reported it (R4380-5.2.4-07).
        if !self.config.destinations.permits(address.mapped) {
            return self.end_determination();
        }
        self.push_probe(now, address);
        self.determination.stage = Stage::Probing {
            address,
            attempts: attempts + 1,
            due: now + BUBBLE_TIMEOUT,
        };
    }

    fn decide(&mut self, now: Instant, succeeded: bool) {
        let over = self.determination.conclude(succeeded);
        // A shorter interval counts from now on.
        self.bring_refresh_forward();
        if over {
            self.end_determination();
        } else {
            self.maintain_secondary(now, false, 0);
        }
    }

    /// Step 6: renews the mapping of the secondary port, which may have changed (R4380-5.2.7-07).
    fn maintain_secondary(&mut self, now: Instant, is_settled: bool, attempts: u32) {
        if attempts >= self.config.solicitation_attempts {
            return self.end_determination();
        }
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let (to, source) = (service.server_socket(), self.determination.link_local);
        let nonce = self.rng.next_u64().to_be_bytes();
        let credentials = self.config.keyring.get(*to.ip());
        self.outbox
            .secondary(to, |out| emit_solicitation(nonce, credentials, source, out));
        self.determination.stage = Stage::Maintaining {
            is_settled,
            nonce,
            attempts: attempts + 1,
            due: now + self.config.solicitation_timeout,
        };
    }

    /// Takes in a datagram that the secondary port received from `from`. It is never for the host.
    pub fn handle_secondary<'a>(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &'a [u8],
    ) -> Reception<'a> {
        match self.receive_secondary(now, from, datagram) {
            Ok(()) => Reception::Consumed,
            Err(reason) => Reception::Drop(self.drop(reason)),
        }
    }

    fn receive_secondary(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        bytes: &[u8],
    ) -> Result<(), DropReason> {
        let datagram = Datagram::parse(bytes).map_err(|_| DropReason::Malformed)?;
        if datagram.authentication.is_some() {
            return self.secondary_advertised(now, from, &datagram);
        }
        let Phase::Qualified(service) = &self.phase else {
            return Err(DropReason::NotQualified);
        };
        let Stage::Probing { address, .. } = self.determination.stage else {
            return Err(DropReason::WrongDestination);
        };
        let packet = datagram.packet;
        if !packet.is_bubble() || packet.destination() != address.to_ipv6() {
            return Err(DropReason::WrongDestination);
        }
        if packet.source() != service.ipv6 || !self.is_own_probe(from, &datagram) {
            return Err(DropReason::WrongSource);
        }
        self.decide(now, true);
        Ok(())
    }

    fn secondary_advertised(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        datagram: &Datagram<'_>,
    ) -> Result<(), DropReason> {
        let unsolicited = DropReason::UnsolicitedAdvertisement;
        let received = datagram.authentication.as_ref().map(|auth| auth.nonce);
        let Phase::Qualified(service) = &self.phase else {
            return Err(unsolicited);
        };
        let server = service.server;
        let addresses = [server.primary, server.secondary];
        let asked = addresses
            .iter()
            .position(|&address| from == SocketAddrV4::new(address, PORT))
            .ok_or(unsolicited)?;
        let expected = match &self.determination.stage {
            Stage::Qualifying { asks, .. } => asks[asked].nonce,
            Stage::Maintaining { nonce, .. } if asked == 0 => Some(*nonce),
            _ => None,
        };
        if expected.is_none() || expected != received {
            return Err(unsolicited);
        }
        self.check_secret(server, datagram)?;
        let advertised = check_advertisement(datagram, self.determination.link_local)?;
        let mapped = advertised.mapped;
        if advertised.server != server.primary
            || !self.config.destinations.permits(mapped)
            || mapped == service.address.mapped
        {
            return Err(DropReason::InvalidAdvertisement);
        }
        match &mut self.determination.stage {
            Stage::Qualifying { asks, .. } => {
                asks[asked] = Ask {
                    nonce: None,
                    mapping: Some(mapped),
                };
                let [Some(primary), Some(secondary)] = asks.map(|ask| ask.mapping) else {
                    return Ok(());
                };
                if primary == secondary {
                    self.rest(now, mapped);
                } else if self.nat == Nat::Symmetric {
                    self.determination.way = Way::ThroughServer;
                    self.settle(now, primary, false);
                } else {
                    self.end_determination();
                }
            }
            &mut Stage::Maintaining { is_settled, .. } => self.settle(now, mapped, is_settled),
            _ => {}
        }
        Ok(())
    }

    /// Step 1: the secondary port stays idle for the candidate interval.
    fn rest(&mut self, now: Instant, mapped: SocketAddrV4) {
        let Phase::Qualified(service) = &self.phase else {
            return;
        };
        let server = service.server.primary;
        let address = TeredoAddress {
            server,
            flags: Flags::from_random(self.rng.next_u32() as u16),
            mapped,
        };
        self.determination.stage = Stage::Resting {
            address,
            until: now + self.determination.candidate,
        };
    }
}

#[cfg(test)]
mod tests;
