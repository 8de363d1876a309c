//! The agent: it follows the ports of one or more nodes, repairs its rules if another program changes them, and reports
//! the kernel's state.

use std::{
    collections::BTreeSet,
    error::Error,
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use futures_util::future::select_all;
use teredo_nft::{Change, Monitor, NftError};
use teredo_notify::{RandomPortError, Snapshot, hub::GateReport};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    administrator_set::SetError,
    block::{ForeignTable, REPAIR_INTERVAL, RETRY},
    config::{AgentConfig, ConfigError, SetPath},
    source::PortSource,
};

mod firewall;
mod node;
use firewall::{ApplyError, Firewall, Wanted};
use node::Followed;

/// How long a restarted agent waits for the first news before it assumes that there is no port.
/// Until then it leaves the set as it finds it, so that its restart closes nothing.
const FIRST_NEWS_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the agent looks for changes that nobody reports to it: datagrams that others drop, and renamed interfaces.
const BEAT: Duration = Duration::from_secs(1);

/// The least time between two looks at the chains of others.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long the agent waits for the service to take a confirmation. The client goes on without it
/// after 250 ms.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// Why there is no agent, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `CAP_NET_ADMIN` is missing.
    #[error(
        "the firewall agent is not permitted to change nftables: \
         it needs the capability CAP_NET_ADMIN"
    )]
    NotPermitted,
    /// Another agent runs in this network namespace.
    #[error(
        "the table 'inet teredo' is held by {}: another firewall agent is running", crate::block::program(*.owner)
    )]
    AlreadyRunning {
        /// The netlink port of the other agent, usually its process ID.
        owner: u32,
    },
    /// The table `inet teredo` is the administrator's.
    #[error(transparent)]
    ForeignTable(#[from] ForeignTable),
    /// The administrator's set is in a table that another process owns.
    #[error(
        "the table of the set '{path}' belongs to {owner}, and the kernel lets no other program fill the set"
    )]
    OwnedSet {
        /// The set.
        path: SetPath,
        /// The program that owns the table.
        owner: String,
    },
    /// The administrator's set cannot hold a port.
    #[error(
        "the set '{path}' {reason}: \
         it must be declared as '{{ type inet_service; flags timeout; }}'"
    )]
    UnsuitableSet {
        /// The set.
        path: SetPath,
        /// The fault, in words that continue "the set …".
        reason: &'static str,
    },
    /// The source of the port has ended.
    #[error("the firewall agent cannot learn of the port: {0}")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// Nothing can be done without netlink.
    #[error(transparent)]
    Netlink(NftError),
}

impl From<NftError> for AgentError {
    fn from(error: NftError) -> Self {
        match error {
            NftError::NotPermitted => Self::NotPermitted,
            error => Self::Netlink(error),
        }
    }
}

/// The state and the counters of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentStatus {
    /// The open port, as the kernel confirmed it; 0 if none is open. With several nodes, the lowest.
    pub port: u16,
    /// How many ports are open, random ports included; each is a lease.
    pub leases: usize,
    /// Whether the open ports are those of the nodes.
    pub in_step: bool,
    /// When the kernel last took, or renewed, all that it should have. A renewal is no news for those who wait for a
    /// change of the status.
    pub confirmed_at: Option<std::time::Instant>,
    /// Why a port is not open although the kernel has its exception.
    pub trouble: Option<String>,
    /// How often the open port changed. "None" counts as a port.
    pub swaps: u64,
    /// How long the last swap took, from the news to the kernel's confirmation.
    pub last_swap: Option<Duration>,
    /// How often the agent read the ruleset anew because it could have changed.
    pub resyncs: Resyncs,
    /// How often the kernel refused a change.
    pub refusals: u64,
    /// How often a node named random ports that no client draws, so that none was opened. Such a client may have been taken
    /// over.
    pub random_refusals: u64,
}

/// Resynchronizations by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resyncs {
    /// The agent started.
    pub start: u64,
    /// Another program removed or changed the agent's part, and the agent put it back.
    pub flush: u64,
    /// The kernel reported more changes than the agent could read in time.
    pub enobufs: u64,
}

/// An agent whose block is in place, and which does not follow a port yet.
#[derive(Debug)]
pub struct Agent {
    firewall: Firewall,
    monitor: Monitor,
    config: AgentConfig,
    status: watch::Sender<AgentStatus>,
    nodes: Vec<Followed>,
    /// The ports that an agent before this one left open, until all nodes are known.
    inherited: BTreeSet<u16>,
    renew_at: Instant,
    beat_at: Instant,
    resync_at: Option<Instant>,
    resynced_at: Option<Instant>,
    /// When the nodes that have not answered count as nodes without a port.
    patience: Option<Instant>,
    /// Whether the kernel, and firewalld, took the wanted state.
    in_force: bool,
    /// The last failure that was logged, so that each retry does not log it again.
    failure: Option<String>,
}

/// The end of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The ports are closed.
    Close,
    /// The ports stay open for the next agent, which renews their leases, as at a reload. Without one they close when the
    /// leases end.
    Leave,
}

impl From<()> for Ending {
    fn from((): ()) -> Self {
        Self::Close
    }
}

impl Agent {
    /// Closes the inside of the configured interface, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`AgentError`], one variant per cause. A set that does not exist yet is no error: the agent
    /// waits for it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver.
    pub fn new(config: AgentConfig) -> Result<Self, AgentError> {
        config.check()?;
        let mut firewall = Firewall::open(config.clone())?;
        // Before the first look at the ruleset, so that no change after it can be missed.
        let monitor = Monitor::open(firewall.netlink_port())?;
        firewall.check()?;
        let inherited = firewall.inherited()?;
        let now = Instant::now();
        let mut agent = Self {
            firewall,
            monitor,
            config,
            status: watch::Sender::default(),
            nodes: Vec::new(),
            inherited,
            renew_at: now,
            beat_at: now + BEAT,
            resync_at: None,
            resynced_at: None,
            patience: Some(now + FIRST_NEWS_TIMEOUT),
            in_force: false,
            failure: None,
        };
        match agent.firewall.apply(&agent.wanted()) {
            Ok(()) => agent.renew_at = now + agent.config.renew,
            Err(ApplyError::Netlink(error)) => return Err(error.into()),
            // Only a missing set or a slow firewalld, which waiting mends.
            Err(error) => debug!(%error, "the ports of an agent before this one cannot be kept"),
        }
        // Two agents that start at the same time see each other here.
        agent.firewall.check_claim()?;
        agent.firewall.advise();
        agent.status.send_modify(|status| status.resyncs.start += 1);
        Ok(agent)
    }

    /// The agent's status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Follows the port of one node until `shutdown` completes. See [`run_all`](Self::run_all).
    ///
    /// # Errors
    ///
    /// As [`run_all`](Self::run_all).
    pub async fn run(
        self,
        source: impl PortSource,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AgentError> {
        self.run_all(vec![source], shutdown).await
    }

    /// Follows the ports of all nodes until `shutdown` completes, then closes them, or leaves them to the next agent. The
    /// inside of the tunnels stays closed.
    ///
    /// Each state is confirmed to its source only when the kernel has confirmed it to the agent (N-16). The agent retries a
    /// change that the kernel refuses until it succeeds or the port changes. Each source gets a report when something
    /// changes, and with each renewal.
    ///
    /// # Errors
    ///
    /// [`AgentError::Source`] if the source of a port ends, [`AgentError::Netlink`] if the kernel can no longer be
    /// monitored, [`AgentError::AlreadyRunning`] if another agent took over while this one was stopped. The agent closes
    /// its ports then too.
    pub async fn run_all<S: PortSource>(
        mut self,
        mut sources: Vec<S>,
        shutdown: impl Future<Output: Into<Ending>>,
    ) -> Result<(), AgentError> {
        let mut shutdown = pin!(shutdown);
        self.nodes = sources.iter().map(|_| Followed::default()).collect();
        loop {
            let (resync_at, patience) = (self.resync_at, self.patience);
            tokio::select! {
                ending = &mut shutdown => match ending.into() {
                    Ending::Close => break,
                    Ending::Leave => {
                        self.firewall.leave();
                        return Ok(());
                    }
                },
                (index, state) = next(&mut sources) => {
                    let state = state.map_err(|error| AgentError::Source(error.into()))?;
                    let source = &sources[index];
                    let random = source.random_ports();
                    if let Err(refusal) = self.nodes[index].learn(state, random, source.node()) {
                        self.suspect(refusal);
                    }
                    self.learned(&mut sources).await;
                }
                change = self.monitor.changed() => self.schedule_resync(change?),
                () = self.firewall.firewalld_changed() => self.apply(&mut sources).await,
                () = until(resync_at) => self.resync(&mut sources).await,
                () = until(patience) => {
                    self.nodes.iter_mut().for_each(Followed::give_up_waiting);
                    self.learned(&mut sources).await;
                }
                () = sleep_until(self.renew_at) => self.renew(&mut sources).await?,
                () = sleep_until(self.beat_at) => self.beat(&mut sources).await,
            }
        }
        let released = self.firewall.release();
        self.firewall.leave_firewalld().await;
        Ok(released?)
    }

    async fn learned(&mut self, sources: &mut [impl PortSource]) {
        if self.nodes.iter().all(Followed::is_known) {
            self.inherited.clear();
            self.patience = None;
        }
        self.apply(sources).await;
    }

    /// A client draws no such ports: one that does so is faulty, or in the hands of somebody else.
    fn suspect(&self, refusal: RandomPortError) {
        let mut is_first = false;
        self.status.send_modify(|status| {
            is_first = status.random_refusals == 0;
            status.random_refusals += 1;
        });
        if is_first {
            error!(
                %refusal,
                "the client may have been taken over: it names a random port that it would not choose; none is opened"
            );
        } else {
            debug!(%refusal, "the client names another random port that it would not choose");
        }
    }

    /// Returns the state that the kernel should have.
    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted {
            ports: self.inherited.clone(),
            ..Wanted::default()
        };
        wanted.tunnels.insert(self.config.interface.clone(), None);
        for node in &self.nodes {
            node.add_to(&mut wanted, self.config.close_relay_forward);
        }
        wanted
    }

    /// Puts the wanted state into the kernel, which may have it already.
    async fn apply(&mut self, sources: &mut [impl PortSource]) {
        let wanted = self.wanted();
        let started = Instant::now();
        let applied = self.firewall.apply(&wanted);
        self.in_force = applied.is_ok();
        match applied {
            Ok(()) => {
                let learned = self.nodes.iter().filter_map(Followed::learned_at).min();
                self.applied(&wanted, learned.unwrap_or(started).elapsed());
                self.failure = None;
                self.settle(sources).await;
                self.admit(sources).await;
                self.report(sources, false).await;
            }
            Err(ApplyError::Opening) => self.wait_for_firewalld(sources).await,
            Err(error) => self.failed(&error, sources).await,
        }
    }

    /// The agent's own part is done, and nothing is confirmed before firewalld has done its part.
    async fn wait_for_firewalld(&mut self, sources: &mut [impl PortSource]) {
        self.renew_at = Instant::now() + RETRY;
        // A node that waits for a confirmation needs no other word.
        if self.failure.is_none() && self.nodes.iter().all(|node| node.learned_at().is_none()) {
            self.failure = Some(ApplyError::Opening.to_string());
            self.report(sources, false).await;
        }
    }

    fn applied(&mut self, wanted: &Wanted, took: Duration) {
        self.renew_at = Instant::now() + self.config.renew;
        let leases = self.firewall.open_ports(wanted).len();
        let port = wanted.ports.first().copied().unwrap_or_default();
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.leases = leases;
            if status.port != port {
                info!(
                    from = status.port,
                    to = port,
                    micros = took.as_micros(),
                    "the firewall follows the port"
                );
                status.port = port;
                status.swaps += 1;
                status.last_swap = Some(took);
            }
            status.in_step = true;
            let news = *status != before;
            status.confirmed_at = Some(Instant::now().into_std());
            news
        });
    }

    async fn settle(&mut self, sources: &mut [impl PortSource]) {
        for (node, source) in self.nodes.iter_mut().zip(sources) {
            let Some(sequence) = node.take_unsettled() else {
                continue;
            };
            let settled = timeout(SETTLE_TIMEOUT, source.settle(sequence)).await;
            if settled.is_err() {
                warn!(
                    sequence,
                    "the service does not take the confirmation of a port change"
                );
            }
        }
    }

    /// Confirms the random ports, and with them the port, if all of that is in force. While the port itself may not be
    /// open, they may not be either.
    async fn admit(&mut self, sources: &mut [impl PortSource]) {
        if !self.nodes.iter().any(Followed::is_unadmitted)
            || !self.in_force
            || self.status.borrow().trouble.is_some()
            || !self.firewall.opens_random(&self.wanted())
        {
            return;
        }
        for (node, source) in self.nodes.iter_mut().zip(sources) {
            if let Some((sequence, random)) = node.take_unadmitted() {
                // A service that does not take it goes on without them.
                let _ = timeout(SETTLE_TIMEOUT, source.admit(sequence, random)).await;
            }
        }
    }

    /// Tells the nodes how the firewall is: those that have not heard it yet, or all.
    async fn report(&mut self, sources: &mut [impl PortSource], all: bool) {
        let trouble = self
            .failure
            .clone()
            .or_else(|| self.status.borrow().trouble.clone());
        let wanted = self.wanted();
        let report = GateReport {
            trouble,
            protects: self.firewall.protected(&wanted),
            backend: self.firewall.backend(),
            random_trouble: self.firewall.random_trouble(&wanted),
            valid: self.config.lease,
        };
        for (node, source) in self.nodes.iter_mut().zip(sources) {
            let report = GateReport {
                random_trouble: (node.random_trouble()).or_else(|| report.random_trouble.clone()),
                ..report.clone()
            };
            if node.hears(&report) || all {
                // A service that does not take it loses this agent's word when the report is no longer valid.
                let _ = timeout(SETTLE_TIMEOUT, source.report(&report)).await;
            }
        }
    }

    async fn failed(&mut self, error: &ApplyError, sources: &mut [impl PortSource]) {
        let waiting = matches!(error, ApplyError::Set(SetError::Missing(_)));
        self.renew_at = Instant::now() + if waiting { self.config.renew } else { RETRY };
        self.status.send_modify(|status| {
            status.in_step = false;
            // Which port is open is unknown, but surely not the right one.
            (status.port, status.leases) = (0, 0);
            status.refusals += u64::from(!waiting);
        });
        let text = error.to_string();
        if self.failure.as_ref() == Some(&text) {
            debug!(reason = text, "the firewall still does not follow the port");
            return;
        }
        if waiting {
            warn!(reason = text, "the firewall waits for its set");
        } else {
            error!(
                reason = text,
                "the firewall does not follow the port; trying again"
            );
        }
        self.failure = Some(text);
        self.report(sources, false).await;
    }

    /// Renews the leases, and the nodes' word that the agent works.
    async fn renew(&mut self, sources: &mut [impl PortSource]) -> Result<(), AgentError> {
        self.firewall.check_claim()?;
        self.apply(sources).await;
        self.firewall.advise();
        self.report(sources, true).await;
        Ok(())
    }

    /// Looks for changes that the kernel does not report.
    async fn beat(&mut self, sources: &mut [impl PortSource]) {
        self.beat_at = Instant::now() + BEAT;
        let mut renamed = false;
        for node in &mut self.nodes {
            renamed |= node.follow_interface();
        }
        if renamed {
            self.apply(sources).await;
        }
        self.look(sources).await;
    }

    /// Looks whether datagrams get through the chains of others.
    async fn look(&mut self, sources: &mut [impl PortSource]) {
        let trouble = match self.firewall.passage(&self.wanted()) {
            Ok(trouble) => trouble,
            Err(error) => {
                debug!(%error, "cannot look for what others drop");
                return;
            }
        };
        let changed = self.status.send_if_modified(|status| {
            let changed = status.trouble != trouble;
            status.trouble.clone_from(&trouble);
            changed
        });
        if changed {
            match trouble {
                Some(reason) => warn!(reason, "the port may not be open"),
                None => info!("the port is open"),
            }
        }
        self.admit(sources).await;
        self.report(sources, false).await;
    }

    /// Another program changed the ruleset: schedules a look at the agent's part.
    fn schedule_resync(&mut self, change: Change) {
        match change {
            Change::Committed {
                generation,
                process,
                pid,
            } => {
                debug!(
                    generation,
                    process, pid, "another program changed the ruleset"
                );
            }
            Change::Lost => {
                warn!("reports of changes to the ruleset were lost (ENOBUFS)");
                self.status
                    .send_modify(|status| status.resyncs.enobufs += 1);
            }
        }
        self.firewall.foreign_change();
        let earliest = self
            .resynced_at
            .map_or_else(Instant::now, |last| last + REPAIR_INTERVAL);
        self.resync_at.get_or_insert(earliest);
    }

    async fn resync(&mut self, sources: &mut [impl PortSource]) {
        self.resync_at = None;
        self.resynced_at = Some(Instant::now());
        let wanted = self.wanted();
        match self.firewall.intact(&wanted) {
            Ok(true) if self.failure.is_none() => {}
            Ok(intact) => {
                if !intact {
                    info!("another program changed the firewall agent's rules; restoring them");
                    self.status.send_modify(|status| status.resyncs.flush += 1);
                }
                self.apply(sources).await;
            }
            Err(ApplyError::Opening) => self.apply(sources).await,
            // The block comes back even if the set does not.
            Err(_) => {
                self.firewall.doubt();
                self.apply(sources).await;
            }
        }
        // Another program's change may shadow the exception; a busy ruleset waits for the beat.
        if self.beat_at.saturating_duration_since(Instant::now()) < BEAT - LOOK_INTERVAL {
            self.beat(sources).await;
        }
    }
}

/// The next state of any node, and the index of its source.
async fn next<S: PortSource>(sources: &mut [S]) -> (usize, Result<Snapshot, S::Error>) {
    if sources.is_empty() {
        return pending().await;
    }
    let nexts = sources.iter_mut().map(|source| Box::pin(source.next()));
    let (state, index, _) = select_all(nexts).await;
    (index, state)
}

/// Waits until then; forever if there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
