//! Retransmission by the measured round trip, if the client is [eager](super::NatTraversal::Eager).
//!
//! The RFCs' pauses are 4 s for a solicitation and 2 s for bubbles and tests, however short the way is. An eager client
//! measures the round trip to its server, as RFC 6298 does for TCP, and repeats by that measure. Each solicitation has a
//! nonce of its own, so an answer names the transmission that it answers, and Karn's rule (RFC 6298 §3), which leaves the
//! answers to repeated segments out, has nothing to leave out.
//!
//! ```text
//!                            0                                          when
//!  qualification, usual      ●───────────────●───────────────●───────────────▷ failed     every 4 s
//!                 eager      ●●─●──●────●────────●──────────●────────────────▷ failed     70 ms or measured, doubling
//!  contact, usual            ●───────●───────●───────●───────▷ given up                   every 2 s
//!           eager            ●─●────────●────────●───────────────▷ given up            the way, then every 2.2 s
//!  refresh, usual            ●───────────────●───────────────●───────────────▷ another server
//!           eager            ●─●●─▷ another server, if it has answered meanwhile
//! ```
//!
//! The number of a contact's bubbles stays the RFC's (R4380-5.2.6-05): the second of the four leaves after one way to the peer
//! and back, and the others when a peer that spaces its answers by 2 s would answer again. They outlast an outage of 4 s.

use std::time::Duration;

use super::peers::{CONTACT_TIMEOUT, Probe};
use super::traversal::SPACING;
use super::{Client, Nat, ServerAddress};
use crate::Instant;

/// Before the first measure: a tenth of RFC 4380's pause has room for three.
const FIRST_PAUSE: Duration = Duration::from_millis(70);
/// The same for a client that resumes its service (RFC 6298 §2.1): a server that is left costs the address.
const FIRST_REFRESH: Duration = Duration::from_secs(1);
/// The least time between the expected answer and the conclusion that it is lost.
const LEAST_MARGIN: Duration = Duration::from_millis(20);
/// Between two that leave at once. They do not share the fate of a full queue then.
const AT_ONCE: Duration = Duration::from_millis(10);
/// The time beyond three round trips after which another server takes the place of a silent one.
const GRACE: Duration = Duration::from_millis(40);
/// The least pause of a contact: the copies of an opening bubble come first (see [`opening`](super::opening)).
const LEAST_WAY: Duration = Duration::from_millis(100);
/// From a server to a native host and its relay, beyond the round trip to the server.
const NATIVE_WAY: Duration = Duration::from_millis(50);
/// Longer than the pause between two answers of a peer (R4380-5.2.6-04), and its jitter.
const LATE: Duration = Duration::from_millis(2_200);
/// After the last one: the host hears of the end within the 8 s of the RFC.
const LAST_PAUSE: Duration = Duration::from_millis(3_400);
/// After so many solicitations of an eager client without an answer, 2 s have passed.
const EAGER_SILENCE: u32 = 6;

/// The round trip to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoundTrip(Option<Estimate>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Estimate {
    smoothed: Duration,
    variance: Duration,
}

impl RoundTrip {
    /// Takes in the time from a solicitation to its own answer (RFC 6298 §2).
    ///
    /// The first variance is an eighth of the round trip, where TCP takes a half: TCP must not fill a queue with copies, and
    /// here a copy is one datagram.
    pub(super) fn measure(&mut self, sample: Duration) {
        self.0 = Some(match self.0 {
            None => Estimate {
                smoothed: sample,
                variance: sample / 8,
            },
            Some(Estimate { smoothed, variance }) => Estimate {
                smoothed: (smoothed * 7 + sample) / 8,
                variance: (variance * 3 + smoothed.abs_diff(sample)) / 4,
            },
        });
    }

    /// The smoothed round trip, if one was measured.
    pub(super) fn smoothed(self) -> Option<Duration> {
        self.0.map(|estimate| estimate.smoothed)
    }

    /// When an answer counts as lost: the retransmission timeout of RFC 6298.
    fn timeout(self) -> Option<Duration> {
        let Estimate { smoothed, variance } = self.0?;
        Some(smoothed + LEAST_MARGIN.max(variance * 4))
    }

    /// How long a server may be silent before another one takes its place: an answer, and the answer to its repetition.
    fn silence(self) -> Option<Duration> {
        let twice = self.timeout()? * 2 + AT_ONCE;
        Some(twice.max(self.smoothed()? * 3 + GRACE))
    }

    /// How long bubbles or tests are under way until their answer is back. The distances of peer and relay are unknown,
    /// and count as those to the server.
    fn way(self, half_trips: u32, beyond: Duration) -> Option<Duration> {
        let Estimate { smoothed, variance } = self.0?;
        let way = smoothed * half_trips / 2 + variance.max(beyond);
        Some(way.clamp(LEAST_WAY, CONTACT_TIMEOUT))
    }
}

/// The pauses between the solicitations to one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    is_eager: bool,
    /// T of RFC 4380 §5.2.1.
    timeout: Duration,
    /// N of RFC 4380 §5.2.1.
    attempts: u32,
}

impl Pauses {
    /// When the next solicitation is due, or the end, after so many since `since`.
    ///
    /// DEVIATION(rfc4380 §5.2.1): an eager client repeats its solicitations after the measured round trip, or after 70 ms,
    /// with doubled pauses: up to eight instead of three, in the same 12 s (R4380-5.2.1-03). A lost datagram then costs a
    /// round trip instead of 4 s.
    pub(super) fn next(
        self,
        now: Instant,
        since: Instant,
        attempts: u32,
        measured: RoundTrip,
    ) -> Instant {
        if !self.is_eager {
            return now + self.timeout;
        }
        let first = measured.timeout().unwrap_or(FIRST_PAUSE);
        self.doubled(now, since, first, attempts)
    }

    /// The same for a client in service (§5.2.5): the first repetition is two at once, so that one loss does not make a
    /// server look dead, and the third one is over when another server may take its place.
    pub(super) fn next_refresh(
        self,
        now: Instant,
        since: Instant,
        attempts: u32,
        measured: RoundTrip,
    ) -> Instant {
        if !self.is_eager {
            return now + self.timeout;
        }
        let first = measured.timeout().unwrap_or(FIRST_REFRESH);
        match attempts {
            0 | 1 => self.within(now + first.min(self.timeout), since),
            2 => self.within(now + AT_ONCE, since),
            3 => self.within((since + self.silence(measured)).max(now + AT_ONCE), since),
            more => self.doubled(now, since, first * 2, more - 3),
        }
    }

    /// How long a server may be silent before another one takes its place.
    pub(super) fn silence(self, measured: RoundTrip) -> Duration {
        let usual = self.timeout * self.attempts;
        let silence = measured.silence().unwrap_or(FIRST_REFRESH * 2 + AT_ONCE);
        if self.is_eager {
            silence.min(usual)
        } else {
            usual
        }
    }

    /// How long one solicitation of a client in service may remain without its answer.
    pub(super) fn patience(self, measured: RoundTrip) -> Duration {
        measured
            .timeout()
            .unwrap_or(FIRST_REFRESH)
            .min(self.timeout)
    }

    /// Whether a server that was asked so often since `since` counts as dead.
    pub(super) fn are_over(self, now: Instant, since: Instant, attempts: u32) -> bool {
        if self.is_eager {
            now - since >= self.timeout * self.attempts
        } else {
            attempts >= self.attempts
        }
    }

    /// Whether a server that was asked so often is silent, as far as one can tell by now.
    pub(super) fn suggest_silence(self, attempts: u32) -> bool {
        attempts >= if self.is_eager { EAGER_SILENCE } else { 2 }
    }

    fn doubled(self, now: Instant, since: Instant, first: Duration, attempts: u32) -> Instant {
        let doublings = attempts.saturating_sub(1).min(16);
        let pause = first.saturating_mul(1 << doublings).min(self.timeout);
        self.within(now + pause, since)
    }

    /// The end is at the same time as without the repetitions in between.
    fn within(self, at: Instant, since: Instant) -> Instant {
        at.min(since + self.timeout * self.attempts)
    }
}

impl Client {
    /// The measured round trip to a server, if it is the last one that was measured.
    pub(super) fn measured(&self, server: ServerAddress) -> RoundTrip {
        match self.measured_to {
            Some(measured) if measured == server => self.round_trip,
            _ => RoundTrip::default(),
        }
    }

    pub(super) fn note_round_trip(&mut self, server: ServerAddress, round_trip: RoundTrip) {
        (self.round_trip, self.measured_to) = (round_trip, Some(server));
    }

    /// The way to the servers is another one.
    pub(super) fn forget_round_trip(&mut self) {
        (self.round_trip, self.measured_to) = (RoundTrip::default(), None);
    }

    /// The pauses of a qualification.
    pub(super) fn pauses(&self) -> Pauses {
        self.pauses_of(self.config.solicitation_timeout)
    }

    /// The pauses with this for T.
    pub(super) fn pauses_of(&self, timeout: Duration) -> Pauses {
        Pauses {
            is_eager: self.config.nat_traversal.is_eager(),
            timeout,
            attempts: self.config.solicitation_attempts,
        }
    }

    /// How long a contact waits after it has sent for the `number`th time, counted from 1.
    ///
    /// DEVIATION(rfc4380 §5.2.6): an eager client repeats a pair of bubbles, and a connectivity test of §5.2.9, after the
    /// measured way to the peer and back; a test at once again. Four in 300 s stay four (R4380-5.2.6-05), but the first two
    /// are not 2 s apart (R4380-5.2.6-04). A peer behind our implementation answers the second one as well, since that has a
    /// nonce that no bubble has repeated; one that spaces its answers answers all others. The last two pairs are spread over
    /// 4 s, because a peer that no pair reaches is given up for 300 s: a short outage of the network must not have that
    /// price. What a stranger provokes is repeated as in the RFC.
    pub(super) fn contact_pause(&self, slot: u32, probe: Probe, number: u8) -> Duration {
        let Some(way) = self.contact_way(slot, probe) else {
            return CONTACT_TIMEOUT;
        };
        match (number, probe) {
            (0 | 1, _) => way,
            (2, Probe::Echo { .. }) => AT_ONCE,
            (2 | 3, _) => LATE,
            _ => LAST_PAUSE,
        }
    }

    /// Whether the bubbles of this contact need not be 2 s apart.
    pub(super) fn repeats_early(&self, slot: u32) -> bool {
        self.contact_way(slot, Probe::Bubbles).is_some()
    }

    /// How long an eager client waits for the answers of an echo test (RFC 6081 §5.5).
    pub(super) fn echo_pause(&self) -> Option<Duration> {
        let is_eager = self.config.nat_traversal.is_eager();
        self.round_trip.timeout().filter(|_| is_eager)
    }

    /// The least time between two indirect bubbles to a peer that began.
    ///
    /// DEVIATION(rfc4380 §5.2.6): an eager client asks back as often as an eager peer asks again by its measure, not every 2 s
    /// (R4380-5.2.6-04). Each follows an answer, and those are four in 300 s.
    pub(super) fn ask_back_spacing(&self, slot: u32) -> Duration {
        // A contact of our own has its own timers.
        let is_asked = self.peers.peer(slot).contact.is_some();
        let way = self.way(Probe::Bubbles).filter(|_| !is_asked);
        way.map_or(SPACING, |way| way * 3 / 4)
    }

    /// The time until the answer of a contact that the host began is back, if the client is eager and has a measure.
    fn contact_way(&self, slot: u32, probe: Probe) -> Option<Duration> {
        let begun = self.peers.peer(slot).came_from().is_none();
        self.way(probe).filter(|_| begun)
    }

    /// The time until the answer to bubbles or to a test is back, if the client is eager and has a measure.
    fn way(&self, probe: Probe) -> Option<Duration> {
        let is_eager = self.config.nat_traversal.is_eager();
        let measured = Some(self.round_trip).filter(|_| is_eager)?;
        match probe {
            // Through the server to the peer, and through the peer's question to the answer with its nonce (RFC 6081 §6.1).
            Probe::Bubbles if self.nat == Nat::Symmetric => measured.way(6, LEAST_MARGIN),
            // Through the server to the peer, and back.
            Probe::Bubbles => measured.way(3, AT_ONCE),
            // Through the server to the host and its relay, through the server back, and there and back.
            Probe::Echo { .. } => measured.way(5, NATIVE_WAY),
        }
    }
}

#[cfg(test)]
mod tests;
