//! Parts that fail at random, several at a time: nothing is done by hand but to start again what was killed, as systemd would,
//! and to mend what was cut.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::judge::Judge;
use super::plan::{HOSTS, SERVERS, SIDES, Side, host_name};
use super::ruleset;
use super::steps::{Fleet, LEASE, milliseconds};
use crate::lab::report::{Findings, Progress};

/// How much later than its lease the end of a port may be seen: the perimeter changes no element for a quarter of a second, and
/// on a busy machine an entry takes its time from a host to the bucket and on.
const LATE: Duration = Duration::from_secs(1);
/// The time between two looks at all.
const PACE: Duration = Duration::from_millis(100);
/// The parts that are down at a time.
const TOGETHER: usize = 4;
/// The longest time to the next kill, and to the next rebind.
const PAUSE: Duration = Duration::from_millis(1500);
/// How long a part is down: every other one for a moment, as if systemd had started it again, the rest for longer, with
/// one half above the lease.
const MOMENT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(30);
/// The events, and the lines of a log, that a breach quotes.
const QUOTED: usize = 40;
/// How long a set may not be read.
const BLIND: Duration = Duration::from_secs(10);

/// A part that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A server of NATS.
    Server(usize),
    Perimeter(Side),
    /// The client and the publisher of a host.
    Host(usize),
    Client(usize),
    Publisher(usize),
    /// The cable of a host, of a server, and of a perimeter to the servers, without a word.
    HostLink(usize),
    ServerLink(usize),
    PerimeterLink(Side),
}

/// The kinds, in the order of their numbers.
const KINDS: [&str; 5] = ["server", "perimeter", "host", "process", "link"];

impl Part {
    fn random(dice: &mut Dice) -> Self {
        let side = SIDES[dice.below(2)];
        let (host, server) = (dice.below(HOSTS), dice.below(SERVERS.len()));
        match dice.below(12) {
            0 | 1 => Self::Server(server),
            2 | 3 => Self::Perimeter(side),
            4 | 5 => Self::Host(host),
            6 => Self::Client(host),
            7 => Self::Publisher(host),
            8 | 9 => Self::HostLink(host),
            10 => Self::ServerLink(server),
            _ => Self::PerimeterLink(side),
        }
    }

    const fn kind(self) -> usize {
        match self {
            Self::Server(_) => 0,
            Self::Perimeter(_) => 1,
            Self::Host(_) => 2,
            Self::Client(_) | Self::Publisher(_) => 3,
            Self::HostLink(_) | Self::ServerLink(_) | Self::PerimeterLink(_) => 4,
        }
    }

    /// Whether it takes a server from the cluster, which stands one such loss.
    const fn is_of_the_cluster(self) -> bool {
        matches!(self, Self::Server(_) | Self::ServerLink(_))
    }

    /// Whether the two are of the same machine.
    fn is_beside(self, other: Self) -> bool {
        match (self.host(), other.host()) {
            (Some(own), Some(other)) => own == other,
            _ => self == other || (self.is_of_the_cluster() && other.is_of_the_cluster()),
        }
    }

    const fn host(self) -> Option<usize> {
        match self {
            Self::Host(host)
            | Self::Client(host)
            | Self::Publisher(host)
            | Self::HostLink(host) => Some(host),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Server(server) => f.write_str(SERVERS[server]),
            Self::Perimeter(side) => f.write_str(side.perimeter()),
            Self::Host(host) => f.write_str(&host_name(host)),
            Self::Client(host) => write!(f, "the client of {}", host_name(host)),
            Self::Publisher(host) => write!(f, "the publisher of {}", host_name(host)),
            Self::HostLink(host) => write!(f, "the link of {}", host_name(host)),
            Self::ServerLink(server) => write!(f, "the link of {}", SERVERS[server]),
            Self::PerimeterLink(side) => write!(f, "the link of {}", side.perimeter()),
        }
    }
}

/// Random numbers that a seed repeats.
struct Dice(ChaCha12Rng);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        (self.0.next_u64() % count.max(1) as u64) as usize
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.0.next_u32() as f64 / f64::from(u32::MAX))
    }
}

/// The course of the faults.
struct Course {
    dice: Dice,
    judge: Judge,
    /// The parts that are down, and until when.
    down: Vec<(Part, Instant)>,
    /// All kills, by their kinds, and the last ones.
    counts: [u32; KINDS.len()],
    last: Vec<String>,
    rebinds: u32,
    begun: Instant,
}

/// Kills so many parts at random.
pub(super) fn kills(
    fleet: &mut Fleet,
    number: u32,
    seed: u64,
    progress: &mut Progress<'_>,
) -> anyhow::Result<((), Findings)> {
    let begun = Instant::now();
    let mut course = Course {
        dice: Dice(ChaCha12Rng::seed_from_u64(seed)),
        judge: Judge::new(begun, LEASE, LATE),
        down: Vec::new(),
        counts: [0; KINDS.len()],
        last: Vec::new(),
        rebinds: 0,
        begun,
    };
    let told = course.run(fleet, number, progress);
    told.with_context(|| {
        let killed: u32 = course.counts.iter().sum();
        format!(
            "seed {seed}, {killed} kills; the last: {}",
            course.last.join(", ")
        )
    })?;
    fleet.all_right(progress)?;
    let by_kind: Vec<_> = KINDS
        .into_iter()
        .zip(course.counts)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let (open, closed) = (course.judge.open, course.judge.closed);
    let mut findings = Findings::new(format!(
        "{number} kills and cuts, up to {TOGETHER} at a time, and {} rebinds",
        course.rebinds
    ))
    .line(by_kind.join(", "))
    .line(format!(
        "no port was open longer than {:.1} s after its end,",
        open.as_secs_f64()
    ))
    .line(format!(
        "no live port was closed for longer than {:.1} s",
        closed.as_secs_f64()
    ))
    .line(format!("the lease: {} s; seed {seed}", LEASE.as_secs()));
    for (kind, count) in KINDS.into_iter().zip(course.counts) {
        findings = findings.fact(kind, count);
    }
    let findings = findings
        .fact("kills", number)
        .fact("rebinds", course.rebinds)
        .fact("seed", seed)
        .fact("open_ms", milliseconds(open))
        .fact("closed_ms", milliseconds(closed));
    Ok(((), findings))
}

impl Course {
    fn run(
        &mut self,
        fleet: &mut Fleet,
        number: u32,
        progress: &mut Progress<'_>,
    ) -> anyhow::Result<()> {
        let (mut next_kill, mut next_rebind) = (Instant::now(), Instant::now());
        let mut killed = 0;
        while killed < number || !self.down.is_empty() {
            let now = Instant::now();
            self.mend(fleet, now)?;
            if now >= next_kill && killed < number && self.kill(fleet)? {
                killed += 1;
                next_kill = now + self.dice.up_to(PAUSE);
            }
            if now >= next_rebind {
                self.rebind(fleet)?;
                next_rebind = now + self.dice.up_to(PAUSE);
            }
            self.look(fleet)?;
            progress.tell(format_args!(
                "{killed} of {number}; down: {}",
                self.down.len()
            ));
            std::thread::sleep(PACE);
        }
        Ok(())
    }

    /// Compares both sets with what is so.
    fn look(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        let open = SIDES.map(|side| (side, fleet.record.latest(side)));
        let now = Instant::now();
        for host in 0..HOSTS {
            self.judge.port(host, fleet.members.endpoint(host), now);
        }
        for (side, open) in open {
            // The content is of the moment of the look, which may have waited for the kernel.
            let Some((at, open)) = open.filter(|(at, _)| now - *at < BLIND) else {
                bail!(
                    "the set of {} has not been read for {BLIND:?}",
                    side.perimeter()
                );
            };
            if let Err(breach) = self.judge.look(side, &open, at) {
                let since = at - self.begun;
                let down: Vec<_> = self.down.iter().map(|(part, _)| part.to_string()).collect();
                let publisher = breach.host.map(|host| {
                    let words = fleet.members.last_words_of(host, QUOTED).join(" | ");
                    format!("; that of the publisher of {}: {words}", host_name(host))
                });
                bail!(
                    "after {:.1} s, with {} down: {}; the bucket: {:?}; {}; the log of {} ends: {}{}",
                    since.as_secs_f64(),
                    down.join(" and "),
                    breach.words,
                    fleet.cluster.bucket(),
                    fleet.cluster.last_words(QUOTED).join("; "),
                    side.perimeter(),
                    fleet.members.last_words(side, QUOTED).join(" | "),
                    publisher.unwrap_or_default()
                );
            }
        }
        Ok(())
    }

    /// Kills or cuts a part, if there may be one more.
    fn kill(&mut self, fleet: &mut Fleet) -> anyhow::Result<bool> {
        if self.down.len() >= TOGETHER {
            return Ok(false);
        }
        let part = Part::random(&mut self.dice);
        let is_beside = self.down.iter().any(|(down, _)| part.is_beside(*down));
        if is_beside || (part.is_of_the_cluster() && !is_whole(fleet)) {
            return Ok(false);
        }
        match part {
            Part::Server(server) => fleet.cluster.kill(server)?,
            Part::Perimeter(side) => fleet.members.kill_perimeter(side)?,
            Part::Host(host) => {
                fleet.members.kill_client(host)?;
                fleet.members.kill_publisher(host)?;
            }
            Part::Client(host) => fleet.members.kill_client(host)?,
            Part::Publisher(host) => fleet.members.kill_publisher(host)?,
            Part::HostLink(_) | Part::ServerLink(_) | Part::PerimeterLink(_) => {
                let (router, interface) = cable(fleet, part);
                ruleset::sever(router, &interface)?;
            }
        }
        let longest = [MOMENT, LONG][self.dice.below(2)];
        let now = Instant::now();
        if let Part::Host(host) | Part::Client(host) = part {
            self.judge.port(host, None, now);
        }
        self.down.push((part, now + self.dice.up_to(longest)));
        self.counts[part.kind()] += 1;
        self.note(part.to_string(), now);
        self.tell(now);
        Ok(true)
    }

    fn note(&mut self, event: String, now: Instant) {
        let since = (now - self.begun).as_secs_f64();
        self.last.push(format!("{event} at {since:.1} s"));
        if self.last.len() > QUOTED {
            self.last.remove(0);
        }
    }

    /// Brings back the parts whose time has come.
    fn mend(&mut self, fleet: &mut Fleet, now: Instant) -> anyhow::Result<()> {
        let (due, down) = std::mem::take(&mut self.down)
            .into_iter()
            .partition(|(_, until)| *until <= now);
        self.down = down;
        for (part, _) in due {
            self.note(format!("{part} back"), now);
            let (members, network) = (&mut fleet.members, &fleet.network);
            match part {
                Part::Server(server) => fleet.cluster.start_server(server)?,
                Part::Perimeter(side) => members.start_perimeter(network, side)?,
                Part::Host(host) => {
                    members.start_publisher(network, host, None)?;
                    members.start_client(network, host)?;
                }
                Part::Client(host) => members.start_client(network, host)?,
                Part::Publisher(host) => members.start_publisher(network, host, None)?,
                Part::HostLink(_) | Part::ServerLink(_) | Part::PerimeterLink(_) => {
                    let (router, interface) = cable(fleet, part);
                    ruleset::mend(router, &interface)?;
                }
            }
        }
        self.tell(Instant::now());
        Ok(())
    }

    /// Tells the judge what is up.
    fn tell(&mut self, now: Instant) {
        let is_down = |part| self.down.iter().any(|(down, _)| *down == part);
        let is_cut = SIDES.map(|side| is_down(Part::PerimeterLink(side)));
        let following = SIDES.map(|side| !is_down(Part::Perimeter(side)) && !is_cut[side as usize]);
        let told: Vec<_> = (0..HOSTS)
            .map(|host| {
                let own = [
                    Part::Host(host),
                    Part::Publisher(host),
                    Part::HostLink(host),
                ];
                !is_cut[Side::of(host) as usize] && !own.into_iter().any(is_down)
            })
            .collect();
        for (side, is_following) in SIDES.into_iter().zip(following) {
            self.judge.following(side, is_following, now);
        }
        for (host, is_told) in told.into_iter().enumerate() {
            self.judge.told(host, is_told, now);
        }
    }

    /// Moves a host that is well to another port.
    fn rebind(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        let live: Vec<_> = self.judge.live().collect();
        let Some(&host) = live.get(self.dice.below(live.len())) else {
            return Ok(());
        };
        let moved = fleet.rebind(host)?;
        self.judge.port(host, Some(moved.endpoint), Instant::now());
        self.rebinds += 1;
        Ok(())
    }
}

/// Whether the cluster stands the loss of a server: it has a leader, and all servers have all entries.
fn is_whole(fleet: &Fleet) -> bool {
    let bucket = fleet.cluster.bucket();
    fleet.cluster.leader().is_some() && bucket.is_some_and(|bucket| bucket.current == SERVERS.len())
}

/// The machine and the interface where a cable is cut.
fn cable(fleet: &Fleet, part: Part) -> (&teredo_lab::Namespace, String) {
    match part {
        Part::HostLink(host) => fleet.network.host_cable(host),
        Part::ServerLink(server) => fleet.network.backbone_cable(SERVERS[server]),
        Part::PerimeterLink(side) => fleet.network.backbone_cable(side.perimeter()),
        _ => unreachable!("{part} is no link"),
    }
}
