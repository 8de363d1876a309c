//! The agent: it follows the port, and repairs its rules if another program changes them.

use std::{
    error::Error,
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use teredo_nft::{Change, Monitor, NftError};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    config::{AgentConfig, ConfigError, SetPath},
    source::PortSource,
};

mod firewall;
use firewall::{ApplyError, Firewall};

/// How long a restarted agent waits for the first news before it assumes that there is no port.
/// Until then it leaves the set as it finds it, so that its restart closes nothing.
const FIRST_NEWS_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon the agent retries a change that the kernel refused.
const RETRY: Duration = Duration::from_millis(500);

/// The least time between two resynchronizations. Two programs that each take the set for theirs
/// must not keep a processor busy.
const RESYNC_INTERVAL: Duration = Duration::from_millis(100);

/// How long the agent waits for the service to take a confirmation. The client goes on without it
/// after 250 ms.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// Keeps nftables in step with the port until `shutdown` completes, then removes its rules and
/// elements.
///
/// # Errors
///
/// Those of [`Agent::new`] and [`Agent::run`].
///
/// # Panics
///
/// Outside of a tokio runtime with its I/O and time drivers.
pub async fn run(
    config: AgentConfig,
    source: impl PortSource,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    Agent::new(config)?.run(source, shutdown).await
}

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
    /// Another program owns the table `inet teredo`: in all likelihood another agent.
    #[error(
        "the table 'inet teredo' belongs to another program with netlink port {owner}, \
         which is usually its process ID: another firewall agent is running"
    )]
    AlreadyRunning {
        /// The netlink port of the owner.
        owner: u32,
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
    /// The open port, as the kernel confirmed it; 0 if none is open.
    pub port: u16,
    /// Whether that is the client's port.
    pub in_step: bool,
    /// How often the open port changed. "None" counts as a port.
    pub swaps: u64,
    /// How long the last swap took, from the news to the kernel's confirmation.
    pub last_swap: Option<Duration>,
    /// How often the agent read the ruleset anew because it could have changed.
    pub resyncs: Resyncs,
    /// How often the kernel refused a change.
    pub refusals: u64,
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

/// An agent whose rules are in place, and which does not follow the port yet.
#[derive(Debug)]
pub struct Agent {
    firewall: Firewall,
    monitor: Monitor,
    renew: Duration,
    status: watch::Sender<AgentStatus>,
    /// The port that should be open; none until the first news.
    wanted: Option<u16>,
    /// The state that the agent has not confirmed yet, and when it learned of it.
    unsettled: Option<(u64, Instant)>,
    renew_at: Instant,
    resync_at: Option<Instant>,
    resynced_at: Option<Instant>,
    /// The last failure that was logged, so that each retry does not log it again.
    failure: Option<String>,
}

impl Agent {
    /// Installs the table `inet teredo` in the network namespace of the calling thread.
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
        let renew = config.renew;
        let firewall = Firewall::open(config)?;
        // Before the first look at the set, so that no change after it can be missed.
        let monitor = Monitor::open(firewall.netlink_port())?;
        let mut agent = Self {
            firewall,
            monitor,
            renew,
            status: watch::Sender::default(),
            wanted: None,
            unsettled: None,
            renew_at: Instant::now() + FIRST_NEWS_TIMEOUT,
            resync_at: None,
            resynced_at: None,
            failure: None,
        };
        agent.firewall.check_set()?;
        agent.status.send_modify(|status| status.resyncs.start += 1);
        Ok(agent)
    }

    /// The agent's status, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Follows the port until `shutdown` completes, then removes the rules and elements.
    ///
    /// Each state is confirmed to `source` only when the kernel has confirmed it to the agent
    /// (N-16). The agent retries a change that the kernel refuses until it succeeds or the port
    /// changes.
    ///
    /// # Errors
    ///
    /// [`AgentError::Source`] if the source of the port ends, [`AgentError::Netlink`] if the kernel can
    /// no longer be monitored. The agent removes its rules and elements then too.
    pub async fn run(
        mut self,
        mut source: impl PortSource,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AgentError> {
        let mut shutdown = pin!(shutdown);
        loop {
            let resync_at = self.resync_at;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                state = source.next() => {
                    let state = state.map_err(|error| AgentError::Source(error.into()))?;
                    self.wanted = Some(state.port);
                    self.unsettled = Some((state.sequence, Instant::now()));
                    self.apply(&mut source).await;
                }
                change = self.monitor.changed() => self.schedule_resync(change?),
                () = until(resync_at) => self.resync(&mut source).await,
                () = sleep_until(self.renew_at) => {
                    self.renew(&mut source).await;
                }
            }
        }
        Ok(self.firewall.release()?)
    }

    /// Puts the wanted state into the kernel, which may have it already.
    async fn apply(&mut self, source: &mut impl PortSource) {
        let Some(port) = self.wanted else { return };
        let started = Instant::now();
        match self.firewall.apply(port) {
            Ok(()) => {
                let learned = self.unsettled.map_or(started, |(_, learned)| learned);
                self.applied(port, learned.elapsed());
                self.settle(source).await;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn applied(&mut self, port: u16, took: Duration) {
        self.failure = None;
        self.renew_at = Instant::now() + self.renew;
        self.status.send_if_modified(|status| {
            let before = status.clone();
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
            *status != before
        });
    }

    async fn settle(&mut self, source: &mut impl PortSource) {
        let Some((sequence, _)) = self.unsettled.take() else {
            return;
        };
        if timeout(SETTLE_TIMEOUT, source.settle(sequence))
            .await
            .is_err()
        {
            warn!(
                sequence,
                "the service does not take the confirmation of a port change"
            );
        }
    }

    fn failed(&mut self, error: &ApplyError) {
        let waiting = matches!(error, ApplyError::Missing { .. });
        self.renew_at = Instant::now() + if waiting { self.renew } else { RETRY };
        self.status.send_modify(|status| {
            status.in_step = false;
            // Which port is open is unknown, but surely not the right one.
            status.port = 0;
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
    }

    /// Renews the lease. Without a lease, it resynchronizes instead.
    async fn renew(&mut self, source: &mut impl PortSource) {
        let port = *self.wanted.get_or_insert(0);
        if self.failure.is_some() || self.firewall.lapses(port) {
            self.apply(source).await;
        } else {
            self.renew_at = Instant::now() + self.renew;
            self.resync(source).await;
        }
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
        let earliest = self
            .resynced_at
            .map_or_else(Instant::now, |last| last + RESYNC_INTERVAL);
        self.resync_at.get_or_insert(earliest);
    }

    async fn resync(&mut self, source: &mut impl PortSource) {
        self.resync_at = None;
        self.resynced_at = Some(Instant::now());
        let Some(port) = self.wanted else { return };
        match self.firewall.intact(port) {
            Ok(true) if self.unsettled.is_none() => {}
            Ok(intact) => {
                if !intact {
                    info!("another program changed the firewall agent's rules; restoring them");
                    self.status.send_modify(|status| status.resyncs.flush += 1);
                }
                self.apply(source).await;
            }
            Err(error) => self.failed(&error),
        }
    }
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
