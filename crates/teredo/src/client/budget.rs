//! How much strangers can make a client send (RFC 4380 §7.3, §7.4).
//!
//! An inner source costs an attacker nothing, so no limit counts those alone. The limits count outer IPv4 addresses,
//! and IPv6 prefixes of several lengths. Each has its share, so an attacker uses up its own. Outer addresses that have
//! answered have a budget apart from all others. The answer to a test counts, because its nonce goes to that address alone,
//! and the answer to a contact that the host began. An answer to bubbles that a stranger provoked can be forged, and proves
//! nothing.
//!
//! | datagram | counted for |
//! |---|---|
//! | test of a native host (§5.2.9) | the outer source, the host's /64, /48 and /32, and all together |
//! | answer to an indirect bubble (§5.2.6), and a second one to or from a random port (RFC 6081 §5.4) | its destination, and all together |
//! | answer to a local bubble (§5.2.8) | its destination |
//! | bubbles to a peer that the host contacts | the peer's mapping, and its server |
//! | bubbles to a peer that contacted the host | the same, with smaller numbers |
//! | random port for such a peer (RFC 6081 §5.4) | the same, and all together |
//! | ports or burst of the birthday method | the peer's mapping, and all together; for a peer that contacted the host also its server |

pub(super) mod places;

use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use self::places::{Entry, Places};
use crate::Instant;
use crate::limit::{Bucket, Rate};
use crate::slots::SipKeys;
use crate::wire::TeredoAddress;

/// Tests for one outer address. A relay may bring 50 new hosts at once.
const TESTS_OUTER: Rate = Rate::per_second(64, 50);
/// Tests for one prefix of native hosts, by its length.
const TESTS_PREFIX: [(u32, Rate); 3] = [
    (64, Rate::per_second(16, 10)),
    (48, Rate::per_second(64, 40)),
    (32, Rate::per_second(64, 50)),
];
const TESTS_TOTAL: Rate = Rate::per_second(256, 100);
/// Answers to indirect bubbles, to one IPv4 address. Several peers may be behind one NAT.
const ANSWERS_OUTER: Rate = Rate::per_second(32, 10);
/// As many as a server passes on to one client.
const ANSWERS_TOTAL: Rate = Rate::per_second(512, 256);
/// Answers to local bubbles, to one address on the link.
const ANSWERS_LINK: Rate = Rate::per_second(8, 2);
/// Bubbles to one IPv4 address, for peers that the host contacts. Most peers of a host can have one server.
const BUBBLES: Rate = Rate::per_second(512, 256);
/// Bubbles to one server for peers that contacted the host.
const DRAWN_SERVER: Rate = Rate::per_second(64, 20);
/// Bubbles to one mapping's address, and to one server for the sake of that address.
const DRAWN_MAPPING: Rate = Rate::per_second(8, 4);

/// Random ports for peers that contacted the host: for one mapping's address, for one server, and all together.
const PORTS_MAPPING: Rate = Rate::per_second(8, 2);
const PORTS_SERVER: Rate = Rate::per_second(32, 8);
const PORTS_TOTAL: Rate = Rate::per_second(32, 16);
/// Bursts to one mapping's address, and blocks of ports for it. One burst in fifty misses all ports, so a peer of the host
/// may have a second one.
const BIRTHDAY_MAPPING: Rate = Rate::every(2, Duration::from_secs(150));
const BIRTHDAY_TOTAL: Rate = Rate::every(4, Duration::from_secs(10));
/// The same for peers that contacted the host. One whose NAT has rebound comes again at once.
const BIRTHDAY_DRAWN_MAPPING: Rate = Rate::every(1, Duration::from_secs(300));
const BIRTHDAY_DRAWN_SERVER: Rate = Rate::every(1, Duration::from_secs(120));
const BIRTHDAY_DRAWN_TOTAL: Rate = Rate::every(2, Duration::from_secs(60));

/// Whether a datagram is the first one of a contact. Repetitions need buckets that are half full at least, so that under
/// an attack each newcomer has a first test before any has a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Repetition,
}

impl Attempt {
    /// The part of a bucket that is left alone.
    fn kept(self, rate: Rate) -> u64 {
        match self {
            Self::First => 0,
            Self::Repetition => rate.depth / 2,
        }
    }
}

/// Places for token buckets. Two keys in one place share its rate, which errs on the side of fewer datagrams.
const PLACES: usize = 1 << 13;
/// Places for outer addresses that have answered.
const PROVEN_PLACES: usize = 1 << 10;
/// How long an answer proves an outer address.
const PROVEN_FOR: Duration = Duration::from_secs(300);

/// The subject of a limit.
#[derive(Clone, Copy, Debug, Hash)]
enum Subject {
    Tests(Ipv4Addr),
    TestsPrefix(u32, u128),
    Answers(Ipv4Addr),
    AnswersLink(Ipv4Addr),
    Bubbles(Ipv4Addr),
    DrawnServer(Ipv4Addr),
    DrawnMapping(Ipv4Addr),
    PortsMapping(Ipv4Addr),
    PortsServer(Ipv4Addr),
    BirthdayMapping(Ipv4Addr),
    BirthdayDrawnMapping(Ipv4Addr),
    BirthdayDrawnServer(Ipv4Addr),
    /// A server and the mapping for whose sake it is asked.
    Drawn(Ipv4Addr, Ipv4Addr),
}

/// An outer address that has answered, and when.
#[derive(Clone, Copy, Debug, Default)]
struct Proof(Option<(Ipv4Addr, Instant)>);

impl Entry for Proof {
    fn counts(&self, now: Instant) -> bool {
        self.0.is_some_and(|(_, at)| now - at < PROVEN_FOR)
    }
}

impl Entry for Bucket {
    fn counts(&self, now: Instant) -> bool {
        !self.is_full(now)
    }
}

/// The limits of one client, in memory whose bound does not depend on the number of strangers.
#[derive(Debug)]
pub(super) struct Budget {
    keys: SipKeys,
    buckets: Places<Bucket, PLACES>,
    proven: Places<Proof, PROVEN_PLACES>,
    tests: Totals,
    answers: Totals,
    ports: Totals,
    birthdays: Bucket,
    birthdays_drawn: Totals,
}

impl Budget {
    pub(super) fn new(keys: SipKeys) -> Self {
        Self {
            keys,
            buckets: Places::default(),
            proven: Places::default(),
            tests: Totals::new(TESTS_TOTAL),
            answers: Totals::new(ANSWERS_TOTAL),
            ports: Totals::new(PORTS_TOTAL),
            birthdays: Bucket::default(),
            birthdays_drawn: Totals::new(BIRTHDAY_DRAWN_TOTAL),
        }
    }

    /// A datagram from this address answered a test, or a contact of the host.
    pub(super) fn prove(&mut self, now: Instant, outer: Ipv4Addr) {
        let place = self.proven_place(outer);
        *self.proven.get_mut(now, place) = Proof(Some((outer, now)));
    }

    /// Whether a native host that contacted this one through `outer` may be tested (W-04).
    pub(super) fn allow_test(
        &mut self,
        now: Instant,
        native: Ipv6Addr,
        outer: Ipv4Addr,
        attempt: Attempt,
    ) -> bool {
        let [(long, a), (middle, b), (short, c)] = TESTS_PREFIX;
        let prefix = |length: u32| Subject::TestsPrefix(length, native.to_bits() >> (128 - length));
        let shares = [
            (Subject::Tests(outer), TESTS_OUTER),
            (prefix(long), a),
            (prefix(middle), b),
            (prefix(short), c),
        ];
        let proven = self.is_proven(now, outer);
        self.has(now, &shares, attempt)
            && self.tests.allow(now, proven, attempt)
            && self.take(now, &shares)
    }

    /// Whether an indirect bubble may be answered to this address (R4380-7.4-01).
    pub(super) fn allow_answer(&mut self, now: Instant, to: Ipv4Addr) -> bool {
        let shares = [(Subject::Answers(to), ANSWERS_OUTER)];
        let proven = self.is_proven(now, to);
        self.has(now, &shares, Attempt::First)
            && self.answers.allow(now, proven, Attempt::First)
            && self.take(now, &shares)
    }

    /// Whether a random port may be opened for a peer that contacted the host.
    pub(super) fn allow_port(&mut self, now: Instant, peer: TeredoAddress) -> bool {
        let shares = [
            (Subject::PortsMapping(*peer.mapped.ip()), PORTS_MAPPING),
            (Subject::PortsServer(peer.server), PORTS_SERVER),
        ];
        let proven = self.is_proven(now, *peer.mapped.ip());
        self.has(now, &shares, Attempt::First)
            && self.ports.allow(now, proven, Attempt::First)
            && self.take(now, &shares)
    }

    /// Whether ports may be opened for a peer, or a burst may be sent to it. `drawn` means that the peer contacted the host.
    pub(super) fn allow_birthday(
        &mut self,
        now: Instant,
        peer: TeredoAddress,
        drawn: bool,
    ) -> bool {
        let proven = self.is_proven(now, *peer.mapped.ip());
        let shares = birthday_shares(peer, drawn);
        let shares = if drawn { &shares[..] } else { &shares[..1] };
        if !self.has(now, shares, Attempt::First) {
            return false;
        }
        let allowed = match drawn {
            true => self.birthdays_drawn.allow(now, proven, Attempt::First),
            false => self.birthdays.allow(now, BIRTHDAY_TOTAL, 0),
        };
        allowed && self.take(now, shares)
    }

    /// The peer was met: its address, and its server, have their shares back. What all together have used counts.
    pub(super) fn birthday_met(
        &mut self,
        now: Instant,
        peer: TeredoAddress,
        drawn: bool,
        tokens: u8,
    ) {
        let shares = birthday_shares(peer, drawn);
        for (subject, rate) in shares.into_iter().take(if drawn { 2 } else { 1 }) {
            let place = self.place(subject);
            self.buckets.get_mut(now, place).give_back(rate, tokens);
        }
    }

    /// Whether a local bubble may be answered to this address.
    pub(super) fn allow_local_answer(&mut self, now: Instant, to: Ipv4Addr) -> bool {
        let shares = [(Subject::AnswersLink(to), ANSWERS_LINK)];
        self.has(now, &shares, Attempt::First) && self.take(now, &shares)
    }

    /// Whether bubbles may go to a peer's mapping and to its server. `drawn` means that the peer contacted the host:
    /// its packet may have named anybody's address as its server (R4380-7.4-01).
    pub(super) fn allow_bubbles(
        &mut self,
        now: Instant,
        to: TeredoAddress,
        drawn: bool,
        attempt: Attempt,
    ) -> bool {
        let (mapping, server) = (*to.mapped.ip(), to.server);
        let shares = [
            (Subject::Bubbles(mapping), BUBBLES),
            (Subject::Bubbles(server), BUBBLES),
            (Subject::DrawnMapping(mapping), DRAWN_MAPPING),
            (Subject::DrawnServer(server), DRAWN_SERVER),
            (Subject::Drawn(server, mapping), DRAWN_MAPPING),
        ];
        let shares = if drawn { &shares[..] } else { &shares[..2] };
        self.has(now, shares, attempt) && self.take(now, shares)
    }

    fn has(&self, now: Instant, shares: &[(Subject, Rate)], attempt: Attempt) -> bool {
        shares.iter().all(|&(subject, rate)| {
            let bucket = self.buckets.get(self.place(subject));
            bucket.has(now, rate, attempt.kept(rate))
        })
    }

    /// Takes a token from each; all of them have one.
    fn take(&mut self, now: Instant, shares: &[(Subject, Rate)]) -> bool {
        for &(subject, rate) in shares {
            let place = self.place(subject);
            self.buckets.get_mut(now, place).take(now, rate);
        }
        true
    }

    /// Whether an answer came from this address in the last 300 s.
    pub(super) fn is_proven(&self, now: Instant, outer: Ipv4Addr) -> bool {
        let proof = self.proven.get(self.proven_place(outer));
        proof.counts(now) && proof.0.is_some_and(|(address, _)| address == outer)
    }

    fn place(&self, subject: impl Hash) -> usize {
        self.keys.hash(subject) as usize % PLACES
    }

    fn proven_place(&self, outer: Ipv4Addr) -> usize {
        self.keys.hash(outer) as usize % PROVEN_PLACES
    }
}

/// The shares of one peer in the birthday method; the second one is only of peers that contacted the host.
fn birthday_shares(peer: TeredoAddress, drawn: bool) -> [(Subject, Rate); 2] {
    let (mapping, server) = (*peer.mapped.ip(), peer.server);
    let of_mapping = match drawn {
        true => (
            Subject::BirthdayDrawnMapping(mapping),
            BIRTHDAY_DRAWN_MAPPING,
        ),
        false => (Subject::BirthdayMapping(mapping), BIRTHDAY_MAPPING),
    };
    let of_server = (Subject::BirthdayDrawnServer(server), BIRTHDAY_DRAWN_SERVER);
    [of_mapping, of_server]
}

/// Two equal budgets: for outer addresses that have answered, and for all others.
#[derive(Debug)]
struct Totals {
    rate: Rate,
    proven: Bucket,
    strangers: Bucket,
}

impl Totals {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            proven: Bucket::default(),
            strangers: Bucket::default(),
        }
    }

    fn allow(&mut self, now: Instant, proven: bool, attempt: Attempt) -> bool {
        let bucket = if proven {
            &mut self.proven
        } else {
            &mut self.strangers
        };
        bucket.allow(now, self.rate, attempt.kept(self.rate))
    }
}

#[cfg(test)]
mod tests;
