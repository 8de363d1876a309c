//! A server's solicitations in the kernel (`teredo-bpf`): loaded once, and open only while nothing stands in its way.
//!
//! ```text
//!   load ──> idle ── serve ──> closed <──── an obstacle ────> open
//!             ^                  │       the last is cleared   │
//!             └───── end ────────┴─────────────────────────────┘
//! ```
//!
//! User space answers everything of a closed path, and all that the program leaves. A thread looks at the host and at each
//! change of it: the routes and interfaces ([`survey`]) and the rules ([`host`]).

mod buckets;
mod host;
mod survey;
mod unused;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use teredo::server::{RelayLimiter, RelayLimits, Security};
use teredo::wire::PORT;
use teredo::{Server, ServerAddress};
use teredo_bpf::{
    Answered, AttachedTo, BucketLimit, MOST_PAIRS, PathError, Server as Programs, ServerOutcome,
    Serving,
};
use teredo_nft::Service;

use crate::kernel::{DataPathChoice, KernelError};
use crate::lane::SpawnError;
use crate::udp::ServiceSocket;
use buckets::SharedBuckets;
use survey::{Block, Place, Survey, Tables};
use watch::Watch;

/// The data path of a server: chosen by the operator, and loaded if it can be had.
#[derive(Clone, Debug)]
pub struct ServerDataPath {
    choice: DataPathChoice,
    prepared: SystemTime,
    kernel: Result<KernelServer, Arc<str>>,
}

impl ServerDataPath {
    /// Loads the programs if they are wanted, which needs CAP_BPF and CAP_NET_ADMIN; a server needs CAP_NET_ADMIN later.
    ///
    /// # Errors
    ///
    /// The choice is [`DataPathChoice::Kernel`], and the programs cannot be loaded.
    pub fn prepare(choice: DataPathChoice) -> Result<Self, KernelError> {
        let without = |reason: String| Self {
            choice,
            prepared: SystemTime::now(),
            kernel: Err(reason.into()),
        };
        if choice == DataPathChoice::User {
            return Ok(without("data_path is user".to_owned()));
        }
        match KernelServer::load() {
            Ok(kernel) => Ok(Self {
                choice,
                prepared: SystemTime::now(),
                kernel: Ok(kernel),
            }),
            Err(error) => {
                for line in error.verifier_log().into_iter().flat_map(str::lines) {
                    tracing::info!("verifier: {line}");
                }
                if choice == DataPathChoice::Kernel {
                    return Err(error);
                }
                tracing::info!(reason = %error, "user space answers all solicitations, because the kernel does not");
                Ok(without(error.to_string()))
            }
        }
    }

    /// User space alone.
    pub fn user() -> Self {
        Self {
            choice: DataPathChoice::User,
            prepared: SystemTime::now(),
            kernel: Err("data_path is user".into()),
        }
    }

    /// A limiter for these servers, that the kernel shares.
    pub(super) fn limiter(&self, limits: RelayLimits, seed: [u8; 32]) -> RelayLimiter {
        match &self.kernel {
            Ok(kernel) => RelayLimiter::with_buckets(limits, seed, kernel.buckets.clone()),
            Err(_) => RelayLimiter::new(limits, seed),
        }
    }

    /// Serves until the value is dropped.
    pub(super) fn serve<'a>(
        &self,
        servers: &[Server],
        limiter: &RelayLimiter,
        sockets: impl Iterator<Item = &'a ServiceSocket>,
    ) -> Result<Option<InKernel>, SpawnError> {
        let Ok(kernel) = &self.kernel else {
            return Ok(None);
        };
        let served = InKernel::start(kernel.clone(), servers, limiter, sockets);
        match (served, self.choice) {
            (Ok(served), _) => Ok(Some(served)),
            (Err(error), DataPathChoice::Kernel) => Err(SpawnError::Kernel(error)),
            (Err(error), _) => {
                tracing::info!(reason = %error, "user space answers all solicitations, because the kernel does not");
                kernel.refuse(error.to_string());
                Ok(None)
            }
        }
    }

    /// The state now, without the packets of user space, which has answered so many solicitations.
    pub(super) fn status(&self, by_user: u64) -> PathStatus {
        match &self.kernel {
            Ok(kernel) => kernel.status(by_user),
            Err(reason) => PathStatus {
                since: Some(self.prepared),
                reason: Some(reason.to_string()),
                ..PathStatus::default()
            },
        }
    }

    /// The answers of the kernel for each pair, since the server in force serves.
    pub(super) fn answered(&self) -> Vec<Answered> {
        self.kernel.as_ref().map_or_else(
            |_| Vec::new(),
            |kernel| {
                let state = kernel.state();
                let now = (0_u32..).zip(&state.base);
                now.map(|(pair, base)| since(state.programs.answered(pair).unwrap_or(*base), *base))
                    .collect()
            },
        )
    }
}

fn since(now: Answered, base: Answered) -> Answered {
    Answered {
        plain: now.plain - base.plain,
        authenticated: now.authenticated - base.authenticated,
    }
}

/// Who answers the solicitations of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStatus {
    /// Whether the kernel does: the path is open, and has answered some of what has come since.
    pub in_kernel: bool,
    /// Since when it does, or does not.
    pub since: Option<SystemTime>,
    /// Why it does not.
    pub reason: Option<String>,
    /// Solicitations that user space has answered, and that came by another interface than that of the server's address, which
    /// alone has the program; `None` without a program.
    pub other_interface: Option<u64>,
    /// The datagrams that it has taken and sent.
    pub kernel_packets: u64,
    /// The datagrams that user space has taken and sent.
    pub user_packets: u64,
}

/// Something that keeps the path closed. The order is that of the reasons in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServerObstacle {
    /// There is no server at the moment.
    Idle,
    /// The settings leave no solicitation that the kernel could answer.
    Settings,
    /// There is no interface that the program can be attached to, or the routes are not of a kind that it knows.
    Interface,
    /// Rules of the host may treat some sources unlike others.
    Host,
    /// The kernel refused a change of a map.
    Refused,
}

/// The programs, shared by the server in force, the thread that watches the host, and the status.
#[derive(Clone)]
pub(super) struct KernelServer {
    state: Arc<Mutex<State>>,
    buckets: Arc<SharedBuckets>,
}

struct State {
    programs: Programs,
    obstacles: BTreeMap<ServerObstacle, String>,
    since: SystemTime,
    pairs: Vec<ServerAddress>,
    /// The networks that a pair refuses.
    refused: Vec<Block>,
    broadcasts: Vec<Ipv4Addr>,
    /// The answers for each pair before the server in force.
    base: Vec<Answered>,
    /// By index and name.
    attached: BTreeMap<(u32, String), AttachedTo>,
    survey: Option<Survey>,
    /// The outcomes before the server in force.
    before: OutcomeCounts,
    /// The outcomes when the path was opened.
    opened: OutcomeCounts,
}

/// A number for each outcome, in their order.
type OutcomeCounts = [u64; ServerOutcome::ALL.len()];

impl KernelServer {
    fn load() -> Result<Self, KernelError> {
        let programs = Programs::load()?;
        let buckets = SharedBuckets::map(programs.buckets()).map_err(|error| {
            KernelError::from(PathError::System {
                action: "map the buckets",
                error,
            })
        })?;
        Ok(Self {
            buckets: Arc::new(buckets),
            state: Arc::new(Mutex::new(State {
                programs,
                obstacles: BTreeMap::from([(ServerObstacle::Idle, IDLE.to_owned())]),
                since: SystemTime::now(),
                pairs: Vec::new(),
                refused: Vec::new(),
                broadcasts: Vec::new(),
                base: Vec::new(),
                attached: BTreeMap::new(),
                survey: None,
                before: OutcomeCounts::default(),
                opened: OutcomeCounts::default(),
            })),
        })
    }

    /// Closes the path. At the return, nothing is answered by it any more.
    pub(super) fn hinder(&self, obstacle: ServerObstacle, words: impl Into<String>) {
        self.state().hinder(obstacle, words.into());
    }

    /// The server in force has no path in the kernel, for this reason.
    fn refuse(&self, reason: String) {
        let mut state = self.state();
        state.obstacles = BTreeMap::from([(ServerObstacle::Idle, reason)]);
    }

    /// Opens the path if this was the last obstacle.
    pub(super) fn clear(&self, obstacle: ServerObstacle) {
        self.state().clear(obstacle);
    }

    /// Adapts the path to the interfaces and routes of the host.
    fn place(&self, tables: &Tables) -> Result<(), String> {
        let mut state = self.state();
        let placed = state.place(tables);
        match &placed {
            Ok(()) => state.clear(ServerObstacle::Interface),
            Err(words) => state.hinder(ServerObstacle::Interface, words.clone()),
        }
        placed
    }

    /// The services that the rules of the host are followed for: each address on its interface, as the program answers them.
    fn services(&self) -> Vec<Service> {
        let state = self.state();
        let places = state.survey.iter().flat_map(|survey| &survey.places);
        let service = |(&address, place): (&Ipv4Addr, &Place)| Service {
            address,
            port: PORT,
            interface: place.name.clone(),
            index: place.index,
            group: place.group,
        };
        places.map(service).collect()
    }

    fn status(&self, by_user: u64) -> PathStatus {
        let state = self.state();
        let now = (0_u32..).zip(&state.base);
        let answered = now.map(|(pair, base)| {
            since(state.programs.answered(pair).unwrap_or(*base), *base).datagrams()
        });
        let other_interface = state.other_interface(by_user);
        let reason = state.reason(other_interface);
        PathStatus {
            in_kernel: reason.is_none(),
            since: Some(state.since),
            reason,
            kernel_packets: 2 * answered.sum::<u64>(),
            user_packets: 0,
            other_interface: Some(other_interface),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const IDLE: &str = "there is no server";
const UNKNOWN: &str = "the rules and routes of this host are not known yet";

impl State {
    fn hinder(&mut self, obstacle: ServerObstacle, words: String) {
        let was_open = self.obstacles.is_empty();
        self.obstacles.insert(obstacle, words);
        if was_open {
            self.since = SystemTime::now();
            if let Err(error) = self.programs.close() {
                tracing::error!(%error, "the path in the kernel may not be closed");
            }
        }
    }

    fn clear(&mut self, obstacle: ServerObstacle) {
        if self.obstacles.remove(&obstacle).is_some() && self.obstacles.is_empty() {
            self.since = SystemTime::now();
            self.opened = self.outcomes();
            if let Err(error) = self.programs.open() {
                let words = error.to_string();
                self.obstacles.insert(ServerObstacle::Refused, words);
            }
        }
    }

    /// Why the kernel answers nothing; none if it does, or has not been asked.
    fn reason(&self, other_interface: u64) -> Option<String> {
        if let Some(words) = self.obstacles.values().next() {
            return Some(words.clone());
        }
        let counts = self.outcomes_since(&self.opened);
        unused::reason(&counts, other_interface).map(str::to_owned)
    }

    /// The solicitations that the program has not seen, of those that user space has answered. Every one that the program sees
    /// and leaves is counted.
    fn other_interface(&self, by_user: u64) -> u64 {
        let counts = self.outcomes_since(&self.before);
        let left = ServerOutcome::ALL
            .into_iter()
            .filter(|&outcome| outcome != ServerOutcome::Answered);
        by_user.saturating_sub(left.map(|outcome| counts[outcome as usize]).sum())
    }

    fn outcomes_since(&self, before: &OutcomeCounts) -> OutcomeCounts {
        let mut counts = self.outcomes();
        for (count, before) in counts.iter_mut().zip(before) {
            *count = count.saturating_sub(*before);
        }
        counts
    }

    fn outcomes(&self) -> OutcomeCounts {
        ServerOutcome::ALL.map(|outcome| self.programs.outcome(outcome).unwrap_or_default())
    }

    fn own(&self) -> impl Iterator<Item = Ipv4Addr> + use<'_> {
        let pairs = self.pairs.iter();
        pairs.flat_map(|pair| [pair.primary, pair.secondary])
    }

    fn place(&mut self, tables: &Tables) -> Result<(), String> {
        let broadcasts = self.broadcasts.iter().map(|&address| (address, 32));
        let refused = self.refused.iter().copied().chain(broadcasts).collect();
        let survey = tables.survey(self.own(), refused)?;
        if self.survey.as_ref() == Some(&survey) {
            return Ok(());
        }
        // The rules have been followed for other addresses or interfaces.
        self.hinder(ServerObstacle::Host, UNKNOWN.to_owned());
        // The programs must not see a part of the change.
        self.hinder(ServerObstacle::Interface, UNKNOWN.to_owned());
        self.survey = None;
        for place in survey.places.values() {
            let key = (place.index, place.name.clone());
            if !self.attached.contains_key(&key) {
                let attached = self.programs.attach(&place.name, place.native);
                let attached = attached.map_err(|error| error.to_string())?;
                let (interface, mode) = (&place.name, attached.mode.name());
                tracing::debug!(interface, mode, "answers solicitations in the kernel");
                self.attached.insert(key, attached);
            }
        }
        self.write(&survey).map_err(|error| error.to_string())?;
        self.survey = Some(survey);
        Ok(())
    }

    /// Writes the maps of sources and addresses.
    fn write(&mut self, survey: &Survey) -> Result<(), PathError> {
        self.programs.set_sources(survey.sources.clone())?;
        let ttl = time_to_live();
        for (number, pair) in (0_u32..).zip(self.pairs.clone()) {
            let ServerAddress { primary, secondary } = pair;
            for (own, other) in [(primary, secondary), (secondary, primary)] {
                let place = survey.places.get(&own);
                let attached = place.and_then(|place| {
                    let attached = self.attached.get(&(place.index, place.name.clone()))?;
                    Some(AttachedTo {
                        hardware: place.hardware,
                        ..*attached
                    })
                });
                let serving = attached.map(|interface| Serving {
                    other: (other != own).then_some(other),
                    pair: number,
                    interface,
                    ttl,
                });
                self.programs.insert(own, serving.as_ref())?;
            }
        }
        Ok(())
    }
}

/// The time to live of the datagrams of this host's sockets.
fn time_to_live() -> u8 {
    let setting = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl");
    setting
        .ok()
        .and_then(|ttl| ttl.trim().parse().ok())
        .unwrap_or(64)
}

/// A server that the kernel answers for. Dropping it closes the path.
#[derive(Debug)]
pub(super) struct InKernel {
    kernel: KernelServer,
    watch: Option<Watch>,
}

impl InKernel {
    fn start<'a>(
        kernel: KernelServer,
        servers: &[Server],
        limiter: &RelayLimiter,
        sockets: impl Iterator<Item = &'a ServiceSocket>,
    ) -> Result<Self, KernelError> {
        kernel.begin(servers, limiter, sockets)?;
        // The path is closed again if the rest fails.
        let mut served = Self {
            kernel: kernel.clone(),
            watch: None,
        };
        let (first, looked) = mpsc::sync_channel(1);
        let watch = Watch::start(kernel.clone(), first).map_err(|error| {
            KernelError::from(PathError::System {
                action: "watch the host",
                error,
            })
        })?;
        served.watch = Some(watch);
        kernel.clear(ServerObstacle::Idle);
        if let Ok(Err(reason)) = looked.recv_timeout(FIRST_LOOK) {
            return Err(KernelError::from(reason));
        }
        Ok(served)
    }

    /// Replaces the directed broadcast addresses, which nothing is sent to.
    pub(super) fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.kernel.state().broadcasts = broadcasts;
        if let Some(watch) = &self.watch {
            watch.look();
        }
    }

    /// The server has other secrets from now on.
    pub(super) fn set_security(&self, security: &Security) {
        match unanswered(security) {
            Some(words) => self.kernel.hinder(ServerObstacle::Settings, words),
            None => self.kernel.clear(ServerObstacle::Settings),
        }
    }
}

impl Drop for InKernel {
    fn drop(&mut self) {
        self.watch = None;
        self.kernel.end();
    }
}

/// A look at the host takes some milliseconds.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Why no solicitation could be answered in the kernel, which knows no secrets.
fn unanswered(security: &Security) -> Option<&'static str> {
    matches!(security, Security::Required(_)).then_some("only clients with a secret are served")
}

impl KernelServer {
    /// Prepares the maps for a server. The path stays closed.
    fn begin<'a>(
        &self,
        servers: &[Server],
        limiter: &RelayLimiter,
        sockets: impl Iterator<Item = &'a ServiceSocket>,
    ) -> Result<(), PathError> {
        let mut state = self.state();
        state.hinder(ServerObstacle::Idle, IDLE.to_owned());
        state.obstacles = BTreeMap::from([
            (ServerObstacle::Idle, IDLE.to_owned()),
            (ServerObstacle::Interface, UNKNOWN.to_owned()),
            (ServerObstacle::Host, UNKNOWN.to_owned()),
        ]);
        state.pairs = servers
            .iter()
            .map(|server| server.config().address)
            .collect();
        state.base.clear();
        state.before = state.outcomes();
        state.survey = None;
        let mut refused: Vec<Block> = Vec::new();
        let settings = settings_obstacle(servers);
        if let Some(words) = settings {
            state.obstacles.insert(ServerObstacle::Settings, words);
        }
        for (number, server) in (0..MOST_PAIRS).zip(servers) {
            refused.extend(server.config().destinations.refused());
            if let Ok(advertisement) = server.advertisement().try_into() {
                state.programs.advertise(number, advertisement)?;
            }
            let base = state.programs.answered(number)?;
            state.base.push(base);
        }
        state.refused = refused;
        let limit = limiter.advertisement_limit().map(|limit| BucketLimit {
            token: limit.token,
            depth: limit.depth,
            factor: limit.factor,
        });
        state.programs.set_limit(limit)?;
        for socket in sockets {
            state.programs.watch(socket.as_fd())?;
        }
        Ok(())
    }

    /// Closes the path, and forgets the server.
    fn end(&self) {
        let mut state = self.state();
        state.hinder(ServerObstacle::Idle, IDLE.to_owned());
        let own: Vec<Ipv4Addr> = state.own().collect();
        for address in own {
            if let Err(error) = state.programs.remove(address) {
                tracing::debug!(%error, %address, "an address stays in the kernel's map");
            }
        }
        state.pairs.clear();
        state.survey = None;
    }
}

/// Why the kernel can answer for none of these servers.
fn settings_obstacle(servers: &[Server]) -> Option<String> {
    if servers.len() > MOST_PAIRS as usize {
        return Some(format!(
            "the server has more than {MOST_PAIRS} pairs of addresses"
        ));
    }
    servers.iter().find_map(|server| {
        let config = server.config();
        if config.max_icmpv6_bytes < SOLICITATION {
            return Some("the settings refuse ICMPv6 messages".to_owned());
        }
        unanswered(&config.security).map(str::to_owned)
    })
}

/// The length of a solicitation's ICMPv6 message.
const SOLICITATION: usize = 8;

impl fmt::Debug for KernelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KernelServer")
            .field(&self.status(0))
            .finish()
    }
}

#[cfg(test)]
mod tests;
