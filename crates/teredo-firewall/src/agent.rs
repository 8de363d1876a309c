//! The agent: follows the port, and everything that happens to its rules.

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
    status::AgentStatus,
};

mod firewall;
use firewall::{ApplyError, Firewall};

/// How long a restarted agent waits for the first news before it takes it that there is no port.
/// Until then it leaves in the set what it finds there, so that its restart closes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How soon a change that the kernel refused is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The least time between two looks at the ruleset because of others' changes: two programs that
/// each take the set for theirs must not keep a processor busy.
const RESYNC_INTERVAL: Duration = Duration::from_millis(100);

/// How long the agent waits for the service to take a confirmation. The client goes on without it
/// after 250 ms.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// Keeps nftables in step with the port until `shutdown` completes, then takes its rules and
/// elements back.
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
        /// What is wrong with it, in words that continue "the set …".
        reason: &'static str,
    },
    /// Nobody will tell the port any more.
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

/// An agent whose rules are in place and which does not follow the port yet.
#[derive(Debug)]
pub struct Agent {
    firewall: Firewall,
    monitor: Monitor,
    renew: Duration,
    status: watch::Sender<AgentStatus>,
    /// The port that should be let through; none until the first news.
    wanted: Option<u16>,
    /// The state that is still to be confirmed, and when the agent learned of it.
    unsettled: Option<(u64, Instant)>,
    renew_at: Instant,
    resync_at: Option<Instant>,
    resynced_at: Option<Instant>,
    /// The last complaint, so that the same is not repeated with every attempt.
    complaint: Option<String>,
}

impl Agent {
    /// Installs the table `inet teredo` in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`AgentError`], one variant per cause. A set that does not exist yet is none: the agent
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
            renew_at: Instant::now() + PATIENCE,
            resync_at: None,
            resynced_at: None,
            complaint: None,
        };
        agent.firewall.survey()?;
        agent.status.send_modify(|status| status.resyncs.start += 1);
        Ok(agent)
    }

    /// What the agent has done so far, now and with every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Follows the port until `shutdown` completes, then takes the rules and elements back.
    ///
    /// Each state is confirmed to `source` only when the kernel has confirmed it to the agent
    /// (N-16). A change that the kernel refuses is tried again until it succeeds or the port
    /// changes.
    ///
    /// # Errors
    ///
    /// [`AgentError::Source`] if nobody will tell the port any more, [`AgentError::Netlink`] if the
    /// kernel can no longer be watched. The rules and elements are taken back then too.
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
                change = self.monitor.changed() => self.note(change?),
                () = until(resync_at) => self.resync(&mut source).await,
                () = sleep_until(self.renew_at) => {
                    self.renew(&mut source).await;
                }
            }
        }
        Ok(self.firewall.release()?)
    }

    /// Brings the kernel to the wanted state, which it may be in already.
    async fn apply(&mut self, source: &mut impl PortSource) {
        let Some(port) = self.wanted else { return };
        let started = Instant::now();
        match self.firewall.apply(port) {
            Ok(()) => {
                let learned = self.unsettled.map_or(started, |(_, learned)| learned);
                self.applied(port, learned.elapsed());
                self.settle(source).await;
            }
            Err(error) => self.complain(&error),
        }
    }

    fn applied(&mut self, port: u16, took: Duration) {
        self.complaint = None;
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

    fn complain(&mut self, error: &ApplyError) {
        let waiting = matches!(error, ApplyError::Missing { .. });
        self.renew_at = Instant::now() + if waiting { self.renew } else { RETRY };
        self.status.send_modify(|status| {
            status.in_step = false;
            // What is let through is unknown, but surely not what should be.
            status.port = 0;
            status.refusals += u64::from(!waiting);
        });
        let text = error.to_string();
        if self.complaint.as_ref() == Some(&text) {
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
        self.complaint = Some(text);
    }

    /// Renews the lease; where there is none to renew, looks whether all is well.
    async fn renew(&mut self, source: &mut impl PortSource) {
        let port = *self.wanted.get_or_insert(0);
        if self.complaint.is_some() || self.firewall.lapses(port) {
            self.apply(source).await;
        } else {
            self.renew_at = Instant::now() + self.renew;
            self.resync(source).await;
        }
    }

    /// Somebody else changed the ruleset: arranges to look what is left of the agent's part.
    fn note(&mut self, change: Change) {
        match change {
            Change::Committed {
                generation,
                process,
                pid,
            } => {
                debug!(
                    generation,
                    process, pid, "somebody else changed the ruleset"
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
                    info!("somebody else changed what is the firewall agent's; putting it back");
                    self.status.send_modify(|status| status.resyncs.flush += 1);
                }
                self.apply(source).await;
            }
            Err(error) => self.complain(&error),
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
