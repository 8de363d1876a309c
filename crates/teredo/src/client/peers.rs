//! The list of recent peers (RFC 4380 §5.2). It is bounded, and entries age.
//!
//! A flood of invented sources displaces its own entries, and not the peers of the host (R4380-7.3.3-01):
//!
//! | class | entry | makes room |
//! |---|---|---|
//! | stranger | the peer began, and the host has sent nothing | first, except for an eighth of the table |
//! | answered | the peer began, and the host has answered; it ages when its path ends | second |
//! | begun | the host began, and has no path yet | third; a scan of the host has half of the table |
//! | used | the host began, and has sent over the path | last |
//!
//! Strangers and answered peers of one outer IPv4 address have a 64th of the table at most. A source that vouches for
//! itself (§5.2.3 case 3) is trusted, but counts for its outer address, because its server and its flags are free to
//! choose.

mod offers;
mod status;
mod table;

pub use status::{PeerState, PeerStatus, PeerTraffic};
pub(super) use table::Peers;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use super::opening::OpeningBubbles;
use super::reachability::Forward;
use super::traversal::Nonces;
use crate::Instant;
use offers::Offer;

/// How long a path is valid after the last packet from the peer (R4380-5.2.4-01).
const VALIDITY: Duration = Duration::from_secs(30);
/// The age at which a path in use is verified again, while packets still flow.
const STALE: Duration = Duration::from_secs(20);
/// The least time between two bubbles to a peer (R4380-5.2.6-04).
const BUBBLE_SPACING: Duration = Duration::from_secs(2);
/// The most bubbles in [`BUBBLE_WINDOW`] without a direct response (R4380-5.2.6-05).
const BUBBLE_LIMIT: usize = 4;
pub(super) const BUBBLE_WINDOW: Duration = Duration::from_secs(300);
/// How long an answer to a peer's question shows that the peer's NAT is open. NATs keep a mapping for longer than 30 s.
const ASKED: Duration = Duration::from_secs(20);
/// How long a bubble or a connectivity test waits for its answer (RFC 4380 §5.2.4 cases 2 and 5).
pub(super) const CONTACT_TIMEOUT: Duration = Duration::from_secs(2);
/// An entry that was not used for so long is removed: its path and its count of bubbles have expired.
const MEMORY: Duration = BUBBLE_WINDOW;
/// A peer that contacted the host counts as a contact of the host after so much silence. By then, TCP has given up
/// repeating its answers.
const QUIET: Duration = Duration::from_secs(120);
/// The first transmission and three repeats (RFC 4380 §5.2.4 cases 2 and 5).
pub(super) const CONTACT_ATTEMPTS: u8 = 4;

/// How a path to a peer is being verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Bubbles to a Teredo peer (RFC 4380 §5.2.4 case 5).
    Bubbles,
    /// Echo requests with this nonce to a native host (R4380-5.2.9-03).
    Echo { nonce: [u8; 16] },
}

/// A way to a peer, and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Where packets for the peer go: its own mapping, or for a native host the address of its relay.
    pub(super) to: SocketAddrV4,
    /// Where its packets come from: the same, except behind an Internet Gateway Device (RFC 6081 §5.3).
    pub(super) from: SocketAddrV4,
    /// Our random port, if it is not the service port (RFC 6081 §5.4).
    pub(super) port: Option<u16>,
}

impl Path {
    /// From a port of ours to one of the peer's, and back.
    pub(super) fn new(port: Option<u16>, at: SocketAddrV4) -> Self {
        Self {
            to: at,
            from: at,
            port,
        }
    }
}

/// From the service port.
impl From<SocketAddrV4> for Path {
    fn from(at: SocketAddrV4) -> Self {
        Self::new(None, at)
    }
}

/// A verification under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    pub(super) probe: Probe,
    /// Transmissions so far.
    pub(super) attempts: u8,
    /// When the next transmission is due, or the end.
    pub(super) due: Instant,
    /// Whether the limits forbade every transmission so far.
    pub(super) withheld: bool,
}

/// The state of one peer (R4380-5.2-05).
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The last path that was proven.
    pub(super) proven: Option<Path>,
    pub(super) trusted: bool,
    /// Whether the peer hears us over it.
    pub(super) forward: Forward,
    pub(super) contact: Option<Contact>,
    /// Whether copies of the packets in the queue were sent.
    pub(super) sent_ahead: bool,
    /// `None` stands for "at least 30 s ago", the initial value of RFC 4380 §5.2.3 (R4380-5.2.6-02).
    last_reception: Option<Instant>,
    last_transmission: Option<Instant>,
    asked: Bubbles,
    answered: Bubbles,
    /// The address of the last answer.
    answered_at: Option<Ipv4Addr>,
    last_bubble: Option<Instant>,
    /// Whether the last direct bubble expires on the way.
    cut_short: bool,
    /// The direct bubbles of the attempt under way that expire on the way.
    pub(super) opening: Option<OpeningBubbles>,
    /// Whether a packet came from it that was no bubble.
    spoke: bool,
    created: Instant,
    /// The outer IPv4 address that a peer came from; `None` if the host began.
    outer: Option<Ipv4Addr>,
    /// The time under which the entry is listed for its outer address.
    listed: Instant,
    /// They relate bubbles to each other (RFC 6081 §5.2).
    pub(super) nonces: Nonces,
    /// Where the peer is, which does not know yet where we are.
    pub(super) half_path: Option<Path>,
    /// The random port that it has announced, Peer Random Port of RFC 6081 §5.4.1.
    pub(super) random_port: Option<u16>,
    /// When the first packet in the queue came, for a peer with an outer address.
    waiting_since: Option<Instant>,
    pub(super) traffic: PeerTraffic,
    offer: Offer,
}

/// When the last bubbles without a direct response were sent, oldest first.
#[derive(Clone, Copy, Debug, Default)]
struct Bubbles([Option<Instant>; BUBBLE_LIMIT]);

impl Bubbles {
    fn allowed(self, now: Instant) -> bool {
        self.0[0].is_none_or(|oldest| now - oldest >= BUBBLE_WINDOW)
    }

    fn count(&mut self, now: Instant) {
        self.0[0] = Some(now);
        self.0.rotate_left(1);
    }
}

/// The limits of RFC 4380 §5.2.6 for answers to a peer that is not in the list: 2 s apart, four in 300 s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BubbleLimit {
    sent: Bubbles,
    last: Option<Instant>,
}

impl BubbleLimit {
    /// Whether a bubble may be sent now; if so, it is counted.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let spaced = self.last.is_none_or(|at| now - at >= BUBBLE_SPACING);
        let allowed = spaced && self.sent.allowed(now);
        if allowed {
            self.last = Some(now);
            self.sent.count(now);
        }
        allowed
    }

    /// Resets the count after a direct response.
    pub(super) fn reset(&mut self) {
        self.sent = Bubbles::default();
    }
}

/// Why a bubble is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BubbleCause {
    /// The host has something to send.
    Ask,
    /// The peer asked through the server.
    Answer,
}

impl Peer {
    /// The destination of packets right now: the mapping of a trusted entry that is still valid (R4380-5.2.4-01,
    /// R4380-5.2.9-04).
    pub(super) fn path(&self, now: Instant) -> Option<Path> {
        let fresh = self.last_reception.is_some_and(|at| now - at < VALIDITY);
        if self.trusted && fresh {
            self.proven
        } else {
            None
        }
    }

    /// Whether no path to the peer is proven, in either direction.
    pub(super) fn is_unmet(&self, now: Instant) -> bool {
        self.path(now).is_none() && self.half_path.is_none()
    }

    /// Whether the peer is trusted, and its packets come from here to this port.
    pub(super) fn is_at(&self, port: Option<u16>, from: SocketAddrV4) -> bool {
        let here = |path: Path| path.from == from && path.port == port;
        self.trusted && self.proven.is_some_and(here)
    }

    /// The random port that direct bubbles to this place leave from; usually none.
    pub(super) fn port_to(&self, to: SocketAddrV4) -> Option<u16> {
        let mut paths = [self.half_path, self.proven].into_iter().flatten();
        paths.find(|path| path.to == to)?.port
    }

    /// The end of a proven path through this random port.
    pub(super) fn place_through(&self, port: u16) -> Option<SocketAddrV4> {
        let path = self.proven.filter(|path| path.port == Some(port))?;
        self.trusted.then_some(path.to)
    }

    /// When the last packet came from the peer directly.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.last_reception
    }

    /// The path that was in use until a while ago. Beyond 5 minutes, most NATs have forgotten it.
    pub(super) fn expired_path(&self, now: Instant) -> Option<Path> {
        let heard = self.last_reception?;
        let idle = now - heard;
        let may_be_open = self.trusted && idle >= VALIDITY && idle < MEMORY;
        self.proven.filter(|_| may_be_open)
    }

    /// The path, if the peer hears us over it.
    pub(super) fn confirmed_path(&self, now: Instant) -> Option<Path> {
        self.path(now)
            .filter(|_| self.forward == Forward::Confirmed)
    }

    /// Whether to verify the path before it expires. One-way traffic would otherwise stop every 30 s.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.last_reception.is_none_or(|at| now - at >= STALE)
    }

    /// A packet from the peer came over this path, which proves it.
    pub(super) fn verified(&mut self, now: Instant, path: Path) {
        self.verified_ahead(now, path);
        self.forward = Forward::Confirmed;
        self.asked = Bubbles::default();
    }

    /// The same, but the peer may not hear us, so our questions remain unanswered.
    pub(super) fn verified_ahead(&mut self, now: Instant, path: Path) {
        self.proven = Some(path);
        self.trusted = true;
        self.half_path = None;
        self.last_reception = Some(now);
        self.answered = Bubbles::default();
    }

    /// No path was tried yet. The bubbles that were sent still count (R4380-5.2.6-05).
    fn forget_attempts(&mut self) {
        self.trusted = false;
        self.forward = Forward::Unconfirmed;
        self.half_path = None;
        self.sent_ahead = false;
    }

    /// A packet came in directly from the peer (R4380-5.2.6-07).
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_reception = Some(now);
        self.responded();
    }

    /// The peer responds, possibly over another path than the one in use, so bubbles are not in vain.
    pub(super) fn responded(&mut self) {
        self.asked = Bubbles::default();
        self.answered = Bubbles::default();
    }

    /// The outer IPv4 address that the peer came from, before the host contacted it.
    pub(super) fn came_from(&self) -> Option<Ipv4Addr> {
        self.outer
    }

    /// The time since the last packet from or to the peer.
    fn idle(&self, now: Instant) -> Duration {
        now - self.last_active()
    }

    fn last_active(&self) -> Instant {
        let [received, sent] =
            [self.last_reception, self.last_transmission].map(Option::unwrap_or_default);
        self.created.max(received).max(sent)
    }

    /// A packet of the peer was for the host.
    pub(super) fn spoke(&mut self) {
        self.spoke = true;
    }

    /// Whether the host's next packet is a contact of its own rather than an answer: a peer that only sent bubbles has
    /// said nothing.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.idle(now) >= QUIET || self.outer.is_some() && !self.spoke
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_transmission = Some(now);
    }

    /// Whether the limits of RFC 4380 §5.2.6 permit a bubble now.
    ///
    /// DEVIATION(rfc4380 §5.2.6): bubbles are 2 s apart from the last bubble, not from the last packet. Otherwise the
    /// path of a steady one-way flow could not be verified in time, and the flow would pause for 2 s every 30 s
    /// (R4380-5.2.6-04).
    ///
    /// DEVIATION(rfc4380 §5.2.6): answers to a peer's indirect bubbles are counted separately. Otherwise a peer that
    /// was asked in vain and then appears would wait up to 300 s for its first answer (R4380-5.2.6-05, A-07).
    ///
    /// DEVIATION(rfc4380 §5.2.6): an answer need not be 2 s apart from a direct bubble that expired on the way. The
    /// peer did not receive that one; if both ask at once, both would wait 2 s for nothing. The same is true of an answer
    /// with a nonce that no bubble has repeated: without it, a peer does not believe what comes from a symmetric NAT.
    pub(super) fn may_bubble(&self, now: Instant, cause: BubbleCause) -> bool {
        let spaced = self.last_bubble.is_none_or(|at| now - at >= BUBBLE_SPACING);
        let owed = cause == BubbleCause::Answer && (self.cut_short || self.nonces.owes_answer());
        (spaced || owed) && self.within_limit(now, cause)
    }

    /// Whether a bubble of the peer may be answered to this address now.
    ///
    /// DEVIATION(rfc4380 §5.2.6): the limits for a native host count for each address that its bubbles come from.
    /// Otherwise four forged ones would keep its relay out for 300 s. The budget of each address bounds the sum.
    pub(super) fn may_answer(&self, now: Instant, to: Ipv4Addr) -> bool {
        let elsewhere = self.answered_at.is_some_and(|at| at != to);
        elsewhere || self.may_bubble(now, BubbleCause::Answer)
    }

    /// When the spacing permits the next bubble.
    pub(super) fn next_bubble(&self, now: Instant) -> Instant {
        self.last_bubble
            .map_or(now, |at| now.max(at + BUBBLE_SPACING))
    }

    /// Counts a bubble that answers one of the peer.
    pub(super) fn answer_sent(&mut self, now: Instant, to: Ipv4Addr) {
        if self.answered_at != Some(to) {
            self.answered_at = Some(to);
            self.answered = Bubbles::default();
        }
        self.bubble_sent(now, BubbleCause::Answer);
    }

    /// Whether fewer than four bubbles were unanswered in the last 300 s.
    pub(super) fn within_limit(&self, now: Instant, cause: BubbleCause) -> bool {
        match cause {
            BubbleCause::Ask => self.asked.allowed(now),
            BubbleCause::Answer => self.answered.allowed(now),
        }
    }

    /// Whether the peer has asked through its server a moment ago, and so has opened its own NAT.
    pub(super) fn has_asked(&self, now: Instant) -> bool {
        let [.., last] = self.answered.0;
        last.is_some_and(|at| now - at < ASKED)
    }

    /// The last direct bubble will expire on the way.
    pub(super) fn cut_short(&mut self) {
        self.cut_short = true;
    }

    /// The time to live of the last direct bubble of a contact, if it expires on the way.
    pub(super) fn last_ttl(&self) -> Option<u8> {
        let opening = self.opening.filter(|_| self.cut_short)?;
        Some(opening.ttl)
    }

    /// Counts a bubble; a direct and an indirect one sent together are one event (A-06, R4380-5.2.6-06).
    pub(super) fn bubble_sent(&mut self, now: Instant, cause: BubbleCause) {
        self.last_bubble = Some(now);
        self.cut_short = false;
        self.sent(now);
        match cause {
            BubbleCause::Ask => self.asked.count(now),
            BubbleCause::Answer => self.answered.count(now),
        }
    }

    /// The indirect bubble of an event that is counted already leaves now: it waited for a random port.
    pub(super) fn bubble_was_late(&mut self, now: Instant) {
        self.last_bubble = Some(now);
    }
}

#[cfg(test)]
mod tests;
