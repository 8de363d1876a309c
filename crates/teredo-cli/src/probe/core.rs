//! The probe without its sockets: decides what to send next, and takes in what arrives. Time, seed and bytes are
//! arguments.
//!
//! Every question is a [`Test`], which is repeated until it is answered or has failed often enough. Each uses one of four
//! ports of this host, so that none spoils another:
//!
//! ```text
//!  main      asks both addresses of the server, as a client does          ─> mapping
//!  stranger  asks the secondary address only; the primary one then sends  ─> may strangers send?
//!  knocker   as the stranger, but has sent to another port of the primary ─> does the port count?
//!  spare     asks the primary address; second samples, and the faults of servers
//! ```
//!
//! The primary address sends to a port that has not asked it in two ways: it answers a solicitation with the cone bit to
//! the secondary address (RFC 4380 §5.3.2), and it forwards a bubble from the main port (§5.3.1). A port that must be
//! untouched is touched by neither before.
//!
//! Silence proves something only if the same would have been heard elsewhere. So each test that may fail has a control:
//! the same message on a path that no NAT can stop.

mod message;
mod receive;
mod refusal;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;
use teredo::policy::DestinationPolicy;
use teredo::wire::{PORT, ParseError};
use teredo::{Instant, ServerAddress};

pub(super) use refusal::{Refusal, Refused};

use super::finding::Finding;
use message::Token;

/// Ports of the server's host that no Teredo server uses: where traceroute sends to, and the port of relays.
pub(super) const KNOCKS: [u16; 2] = [33_434, 3545];

/// The pause between two attempts while the round trip is not known.
const PACE: Duration = Duration::from_millis(200);
/// The pause between the attempts of a test that fails in silence.
const QUICK: Duration = Duration::from_millis(100);
/// The most attempts of a solicitation that a server should answer.
const ASK_LIMIT: u8 = 8;
/// The attempts after which silence counts.
const TEST_LIMIT: u8 = 3;
/// The most datagrams that are looked at. A server sends some forty.
const MAX_RECEIVED: u32 = 4096;
const MAX_FINDINGS: usize = 64;

/// One of the probe's ports on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Own {
    Main,
    Stranger,
    Knocker,
    Spare,
}

impl Own {
    pub(super) const ALL: [Self; 4] = [Self::Main, Self::Stranger, Self::Knocker, Self::Spare];
}

/// A datagram to send from one of the ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transmit {
    /// The index of the port, as in [`Own::ALL`].
    pub(super) from: usize,
    pub(super) to: SocketAddrV4,
    pub(super) payload: Vec<u8>,
}

/// A question to the server or to the NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    /// Main to primary and secondary: the two mappings.
    AskPrimary,
    AskSecondary,
    /// Stranger and knocker to secondary: their mappings.
    StrangerPlain,
    KnockerPlain,
    /// Spare to primary: a further mapping. To both, if the mappings of main differ.
    SparePlain,
    SpareSecondary,
    /// Stranger to secondary with the cone bit: does the answer from the primary address come in?
    StrangerCone,
    /// The primary address forwards a bubble to the stranger.
    StrangerBubble,
    /// The same for the knocker, who has knocked at other ports of the primary address.
    KnockerCone,
    KnockerBubble,
    /// The controls: main has asked both addresses.
    ConePrimary,
    ConeSecondary,
    BubbleSelf,
    /// The stranger asks the primary address after that sent something in vain.
    StrangerLate,
    /// Main and spare send to each other's mapping.
    Hairpin,
    /// The faults of servers.
    LongBubble,
    SpoofedBubble,
    NoNonce,
    BadChecksum,
    /// Spare with the cone bit to the primary address, while the secondary one is silent.
    SpareCone,
    /// While nothing answers: is the host there, and does the server forward what it does not answer?
    KnockSilent,
    BubbleBlind,
}

impl Test {
    pub(super) const ALL: [Self; 22] = [
        Self::AskPrimary,
        Self::AskSecondary,
        Self::StrangerPlain,
        Self::KnockerPlain,
        Self::SparePlain,
        Self::SpareSecondary,
        Self::StrangerCone,
        Self::StrangerBubble,
        Self::KnockerCone,
        Self::KnockerBubble,
        Self::ConePrimary,
        Self::ConeSecondary,
        Self::BubbleSelf,
        Self::StrangerLate,
        Self::Hairpin,
        Self::LongBubble,
        Self::SpoofedBubble,
        Self::NoNonce,
        Self::BadChecksum,
        Self::SpareCone,
        Self::KnockSilent,
        Self::BubbleBlind,
    ];

    const fn limit(self) -> u8 {
        match self {
            Self::AskPrimary | Self::AskSecondary | Self::StrangerPlain | Self::KnockerPlain => {
                ASK_LIMIT
            }
            Self::SparePlain | Self::SpareSecondary | Self::StrangerLate | Self::BubbleSelf => 4,
            Self::LongBubble | Self::SpoofedBubble | Self::NoNonce | Self::BadChecksum => 2,
            Self::KnockSilent => 2,
            _ => TEST_LIMIT,
        }
    }

    /// Silence is an answer too, so the attempts need not wait for one.
    const fn is_quick(self) -> bool {
        !matches!(
            self,
            Self::AskPrimary | Self::AskSecondary | Self::StrangerPlain | Self::KnockerPlain
        )
    }
}

/// The attempts of a test, and their success.
#[derive(Clone, Debug, Default)]
struct Series {
    attempts: u8,
    last: Option<Instant>,
    /// The mapping that the answer names, if it is an advertisement.
    answer: Option<Option<SocketAddrV4>>,
}

/// How a test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its time has not come, or will never come.
    Idle,
    /// The next step is due then.
    Pending(Instant),
    Answered,
    /// Nothing came after all attempts.
    Failed,
}

/// A message that is under way.
#[derive(Clone, Debug)]
struct Sent {
    test: Test,
    from: Own,
    to: SocketAddrV4,
    token: Token,
    at: Instant,
}

/// Datagrams of one address of the server that are no Teredo packets.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) from: Ipv4Addr,
    pub(super) count: u32,
    /// The length of the first one, and its fault.
    pub(super) first: (usize, ParseError),
}

/// The state of a probe.
#[derive(Debug)]
pub(super) struct Core {
    /// The server as the caller named it.
    pub(super) given: ServerAddress,
    /// The server as it is asked, with the secondary address that its answers show.
    pub(super) server: ServerAddress,
    pub(super) locals: [SocketAddrV4; 4],
    pub(super) refusals: Vec<(SocketAddrV4, Refused)>,
    /// The primary address that the prefix names, if it is another one.
    pub(super) other_primary: Option<Ipv4Addr>,
    /// Whether an ICMP error of the primary address shows that a knock arrived.
    pub(super) knocked: bool,
    /// Whether the primary address has refused another port while port 3544 is silent.
    pub(super) host_is_there: bool,
    /// Whether a solicitation with the cone bit was answered from the wrong address.
    pub(super) cone_ignored: bool,
    /// Whether anything came that answers what was asked, good or bad.
    pub(super) heard: bool,
    pub(super) forged: u32,
    /// The datagrams of each address of the server that cannot be parsed.
    pub(super) malformed: Vec<Malformed>,
    pub(super) rtt: [Option<Duration>; 2],
    findings: Vec<Finding>,
    series: [Series; Test::ALL.len()],
    sent: Vec<Sent>,
    outbox: VecDeque<Transmit>,
    policy: DestinationPolicy,
    rng: ChaCha12Rng,
    received: u32,
    now: Instant,
    end: Instant,
}

impl Core {
    /// A probe of `server` from the ports with these addresses, that ends at `end` at the latest.
    pub(super) fn new(
        now: Instant,
        end: Instant,
        seed: [u8; 32],
        server: ServerAddress,
        locals: [SocketAddrV4; 4],
    ) -> Self {
        let mut core = Self {
            given: server,
            server,
            locals,
            refusals: Vec::new(),
            other_primary: None,
            knocked: false,
            host_is_there: false,
            cone_ignored: false,
            heard: false,
            forged: 0,
            malformed: Vec::new(),
            rtt: [None; 2],
            findings: Vec::new(),
            series: Default::default(),
            sent: Vec::new(),
            outbox: VecDeque::new(),
            policy: DestinationPolicy::default(),
            rng: ChaCha12Rng::from_seed(seed),
            received: 0,
            now,
            end,
        };
        // A probe goes to any address; one that clients refuse is a finding.
        core.policy.allow_private(true);
        core.tick(now);
        core
    }

    /// The next datagram to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// When to call [`tick`](Self::tick) at the latest; `None` once the probe is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.now >= self.end {
            return None;
        }
        let pending = Test::ALL.iter().filter_map(|&test| match self.state(test) {
            State::Pending(at) => Some(at),
            _ => None,
        });
        pending.min().map(|at| at.min(self.end))
    }

    /// Sends what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        for test in Test::ALL {
            let series = &self.series[test as usize];
            if series.attempts < test.limit()
                && matches!(self.state(test), State::Pending(at) if at <= self.now)
                && self.now < self.end
            {
                let attempt = series.attempts;
                self.series[test as usize].attempts += 1;
                self.series[test as usize].last = Some(self.now);
                self.send(test, attempt);
            }
        }
    }

    /// How a test stands now.
    pub(super) fn state(&self, test: Test) -> State {
        let series = &self.series[test as usize];
        if series.answer.is_some() {
            return State::Answered;
        }
        if series.attempts == 0 && !self.is_wanted(test) {
            return State::Idle;
        }
        let Some(last) = series.last else {
            return State::Pending(self.now);
        };
        let exhausted = series.attempts >= test.limit() || self.is_refused(test);
        let due = last
            + if exhausted {
                self.patience()
            } else {
                self.pause(test)
            };
        if exhausted && self.now >= due {
            State::Failed
        } else {
            State::Pending(due)
        }
    }

    pub(super) fn is_answered(&self, test: Test) -> bool {
        self.state(test) == State::Answered
    }

    /// The mapping that the answer names.
    pub(super) fn mapping(&self, test: Test) -> Option<SocketAddrV4> {
        self.series[test as usize].answer.flatten()
    }

    /// Of the questions that a server should answer and has answered, the datagrams, and those without an answer.
    pub(super) fn lost(&self) -> [u32; 2] {
        const QUESTIONS: [Test; 4] = [
            Test::AskPrimary,
            Test::AskSecondary,
            Test::StrangerPlain,
            Test::KnockerPlain,
        ];
        // With a longer round trip, a question is repeated while its answer is under way.
        let is_quick = |rtt: Option<Duration>| rtt.is_none_or(|rtt| rtt < PACE * 3 / 4);
        if !self.rtt.into_iter().all(is_quick) {
            return [0; 2];
        }
        let series = QUESTIONS.map(|test| &self.series[test as usize]);
        let answered = series.into_iter().filter(|series| series.answer.is_some());
        answered.fold([0; 2], |[sent, lost], series| {
            let attempts = u32::from(series.attempts);
            [sent + attempts, lost + attempts.saturating_sub(1)]
        })
    }

    pub(super) fn attempts(&self, test: Test) -> u8 {
        self.series[test as usize].attempts
    }

    /// The mappings towards both addresses, once both are known.
    pub(super) fn mappings(&self) -> Option<[SocketAddrV4; 2]> {
        let primary = self.mapping(Test::AskPrimary)?;
        Some([primary, self.mapping(Test::AskSecondary)?])
    }

    /// Whether both addresses see main at the same mapping.
    pub(super) fn has_one_mapping(&self) -> bool {
        self.mappings()
            .is_some_and(|[first, second]| first == second)
    }

    /// Whether an answer names the port's own address.
    pub(super) fn has_nat(&self) -> Option<bool> {
        let mapped = self
            .mapping(Test::AskPrimary)
            .or_else(|| self.mapping(Test::AskSecondary))?;
        Some(mapped != self.local(Own::Main))
    }

    pub(super) fn local(&self, own: Own) -> SocketAddrV4 {
        self.locals[own as usize]
    }

    /// Takes the findings so far.
    pub(super) fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    fn note(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Whether the time of a test has come.
    fn is_wanted(&self, test: Test) -> bool {
        let answered = |test| self.is_answered(test);
        let distinct = self.server.primary != self.server.secondary;
        match test {
            Test::AskPrimary => true,
            Test::AskSecondary | Test::StrangerPlain | Test::KnockerPlain => distinct,
            Test::StrangerCone => answered(Test::StrangerPlain),
            Test::KnockerCone => answered(Test::KnockerPlain),
            Test::SparePlain => answered(Test::AskPrimary),
            Test::SpareSecondary => {
                answered(Test::SparePlain)
                    && self
                        .mappings()
                        .is_some_and(|[first, second]| first != second)
            }
            Test::BadChecksum | Test::NoNonce => answered(Test::SparePlain),
            Test::ConePrimary | Test::ConeSecondary => self.has_one_mapping(),
            Test::BubbleSelf => self.may_send_to(Test::AskPrimary),
            Test::StrangerBubble => {
                self.may_send_to(Test::AskPrimary) && self.may_send_to(Test::StrangerPlain)
            }
            Test::KnockerBubble => self.has_one_mapping() && self.may_send_to(Test::KnockerPlain),
            Test::LongBubble | Test::SpoofedBubble => answered(Test::BubbleSelf),
            Test::Hairpin => {
                self.has_nat() == Some(true)
                    && self.may_send_to(Test::AskPrimary)
                    && self.may_send_to(Test::SparePlain)
            }
            Test::StrangerLate => {
                let over = |test| matches!(self.state(test), State::Failed | State::Idle);
                self.has_one_mapping()
                    && self.state(Test::StrangerCone) == State::Failed
                    && over(Test::StrangerBubble)
                    && (answered(Test::ConeSecondary) || answered(Test::BubbleSelf))
            }
            Test::SpareCone => {
                answered(Test::AskPrimary)
                    && !answered(Test::AskSecondary)
                    && self.attempts(Test::AskSecondary) >= TEST_LIMIT
            }
            Test::KnockSilent => self.is_silent(),
            Test::BubbleBlind => self.is_silent() && self.policy.permits(self.local(Own::Main)),
        }
    }

    fn is_silent(&self) -> bool {
        self.attempts(Test::AskPrimary) >= 2 && !self.heard
    }

    /// Whether a mapping is known that bubbles may be sent to. It is the server's word, so it gets few and small ones.
    fn may_send_to(&self, test: Test) -> bool {
        self.mapping(test)
            .is_some_and(|mapped| self.policy.permits(mapped))
    }

    /// Whether the network has said twice that the address of this test is not reached.
    fn is_refused(&self, test: Test) -> bool {
        let to = match test {
            Test::AskPrimary | Test::SparePlain => self.server.primary,
            Test::AskSecondary | Test::StrangerPlain | Test::KnockerPlain => self.server.secondary,
            _ => return false,
        };
        let to = SocketAddrV4::new(to, PORT);
        let count = self
            .refusals
            .iter()
            .filter(|(refused, _)| *refused == to)
            .count();
        count >= 2 && self.attempts(test) >= 2
    }

    /// The longest round trip so far.
    fn round_trip(&self) -> Option<Duration> {
        self.rtt.into_iter().flatten().max()
    }

    fn pause(&self, test: Test) -> Duration {
        if test.is_quick() {
            return QUICK;
        }
        match self.round_trip() {
            Some(rtt) => (rtt * 2 + QUICK / 2).clamp(QUICK, PACE),
            None => PACE,
        }
    }

    /// How long silence must last after the last attempt.
    fn patience(&self) -> Duration {
        let longest = Duration::from_millis(700);
        match self.round_trip() {
            Some(rtt) => (rtt * 2 + QUICK).min(longest),
            None => QUICK * 4,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
