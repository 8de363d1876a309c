//! The rules of the host and the path in the kernel, which bypasses them: nothing slips past a rule.
//!
//! ```text
//!                      ┌── a transaction of nftables, a change of IPsec's policies, of a link, an IPv4 route or rule; the
//!                      │   tunnel's interface moves to another network namespace: the path is closed
//!                      v
//!   hear (a thread) ── all proofs void, within a millisecond ──> the next packet asks the stack
//!        │                                                        if it may judge single packets: the path is closed
//!        └── examine (a thread for each) ── a rule that judges single packets, a policy: the path is closed
//!                                       └── none: the path is open again
//! ```
//!
//! An examination begins at once, or a second after the last one at the earliest, so a ruleset that changes all the time
//! costs little. A renewal of the firewall agent is no change. A route judges flows, so it is no reason to examine anything;
//! those of a router may change all the time, and void the proofs once a second.

mod pace;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, read, write};
use teredo_nft::{Datagrams, Netlink, NftError, RulesetChange, Transactions};
use teredo_tunnel::kernel::{KernelPath, Obstacle};
use teredo_tunnel::net::{Departures, IpsecPolicies, RoutingChanges, legacy_rules};

use pace::Pace;

/// A larger ruleset is not examined, and the path stays closed: some 30,000 rules, which take a second. The kernel begins at
/// the first rule again for each part of its answer, so twice as many take more than twice as long.
const LARGEST: usize = 16 << 20;

/// How often the tables of iptables-legacy are looked for. Nothing announces their changes.
const LEGACY: Duration = Duration::from_secs(2);

/// How long the proofs stand at least after a change of the routing has voided them.
const ROUTING: Duration = Duration::from_secs(1);

const UNKNOWN: &str = "the rules of this host are not known yet";
const CHANGED: &str = "the rules of this host have changed, and are being examined";
const POLICIES_CHANGED: &str = "IPsec policies have changed, and are being examined";
const UNWATCHED: &str = "nothing follows the rules of this host";

/// Follows the rules of the host for a path in the kernel, as long as the value lives.
#[derive(Debug)]
pub struct RulesWatch {
    path: KernelPath,
    hearing: Option<Hearing>,
}

/// The thread that hears, and the way to it.
#[derive(Debug)]
struct Hearing {
    thread: JoinHandle<()>,
    news: mpsc::Sender<News>,
    waker: Arc<OwnedFd>,
}

impl RulesWatch {
    /// For a client or relay, whose port may become any.
    pub(crate) fn of_a_node(path: &KernelPath) -> Self {
        Self::start(path, Datagrams::of(1..=u16::MAX))
    }

    /// Closes the path until the rules of the calling thread's network namespace are examined, and follows them from then on.
    /// Without CAP_NET_ADMIN the path stays closed.
    #[must_use]
    pub fn start(path: &KernelPath, datagrams: Datagrams) -> Self {
        path.suspend(Obstacle::Rules, UNKNOWN);
        path.suspend(Obstacle::Ipsec, UNKNOWN);
        let started = Watch::start(path.clone(), datagrams);
        if let Err(error) = &started {
            path.hinder(Obstacle::Rules, error.to_string());
        }
        Self {
            path: path.clone(),
            hearing: started.ok(),
        }
    }
}

impl Drop for RulesWatch {
    /// The path is closed until another value follows the rules.
    fn drop(&mut self) {
        if let Some(hearing) = self.hearing.take() {
            let Hearing {
                thread,
                news,
                waker,
            } = hearing;
            // A thread that has ended hears nothing.
            let _ = news.send(News::End);
            wake(&waker);
            let _ = thread.join();
        }
        self.path.suspend(Obstacle::Rules, UNWATCHED);
    }
}

/// The rules cannot be followed.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("changes of the rules of this host cannot be heard: {0}")]
    Rules(#[from] NftError),
    #[error("IPsec policies cannot be heard: {0}")]
    Policies(io::Error),
    #[error("changes of routes cannot be heard: {0}")]
    Routing(io::Error),
    #[error("a move of the tunnel's interface cannot be heard: {0}")]
    Departures(io::Error),
    #[error("there is no thread for the rules of this host: {0}")]
    Thread(io::Error),
}

/// A message to the thread, announced by its event descriptor.
enum News {
    Examined(Report),
    End,
}

/// The result of an examination.
struct Report {
    /// The rule that judges single packets, and whether there are others that may yet do so; or the reason why it is not known.
    rules: Result<(Option<String>, bool), String>,
    policy: Result<Option<String>, String>,
    took: Duration,
}

/// The state of the thread that hears.
struct Watch {
    path: KernelPath,
    datagrams: Datagrams,
    transactions: Transactions,
    policies: Option<IpsecPolicies>,
    routing: RoutingChanges,
    departures: Departures,
    /// Changes of the routing are not taken before.
    routing_at: Instant,
    waker: Arc<OwnedFd>,
    news: mpsc::Receiver<News>,
    examined: mpsc::Sender<News>,
    pace: Pace,
    /// Whether the obstacle of this kind stands because something was found, or is not known.
    rules_closed: bool,
    policies_closed: bool,
    latent: bool,
    legacy: Option<String>,
    legacy_at: Instant,
}

impl Watch {
    fn start(path: KernelPath, datagrams: Datagrams) -> Result<Hearing, WatchError> {
        let (examined, news) = mpsc::channel();
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let waker = Arc::new(waker.map_err(|error| WatchError::Thread(error.into()))?);
        let now = Instant::now();
        let mut watch = Self {
            path,
            datagrams,
            // Before the first examination, so that no change is missed.
            transactions: Transactions::open()?,
            policies: IpsecPolicies::open().map_err(WatchError::Policies)?,
            routing: RoutingChanges::open().map_err(WatchError::Routing)?,
            departures: Departures::open().map_err(WatchError::Departures)?,
            routing_at: now,
            waker: Arc::clone(&waker),
            news,
            examined: examined.clone(),
            pace: Pace::new(now),
            rules_closed: true,
            policies_closed: true,
            latent: false,
            legacy: None,
            legacy_at: now,
        };
        let thread = std::thread::Builder::new().name("rules".to_owned());
        let thread = thread.spawn(move || watch.run());
        let thread = thread.map_err(WatchError::Thread)?;
        Ok(Hearing {
            thread,
            news: examined,
            waker,
        })
    }

    fn run(&mut self) {
        loop {
            let now = Instant::now();
            if now >= self.legacy_at {
                self.look_for_legacy();
                self.legacy_at = now + LEGACY;
            }
            if self.pace.begin(now) {
                self.examine();
            }
            let heard = self.wait().and_then(|()| self.hear());
            match heard {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "the rules of this host are not followed any more");
                    self.path.hinder(Obstacle::Rules, error.to_string());
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> io::Result<()> {
        let now = Instant::now();
        let hears_routing = self.routing_at <= now;
        let due = [self.pace.due(), (!hears_routing).then_some(self.routing_at)];
        let until = due.into_iter().flatten().fold(self.legacy_at, Instant::min);
        let left = until.saturating_duration_since(now);
        // Rounded up, or the thread would wake too early and turn in a circle.
        let timeout =
            Timespec::try_from(left + Duration::from_millis(1)).map_err(io::Error::other)?;
        let mut descriptors = vec![
            PollFd::new(&self.transactions, PollFlags::IN),
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.departures, PollFlags::IN),
        ];
        let policies = self.policies.as_ref();
        descriptors.extend(policies.map(|policies| PollFd::new(policies, PollFlags::IN)));
        if hears_routing {
            descriptors.push(PollFd::new(&self.routing, PollFlags::IN));
        }
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes all that has come; false at the end of the value.
    fn hear(&mut self) -> io::Result<bool> {
        // First of all: the interface is down while it moves, and the programs go with it.
        if let Some(elsewhere) = self.departures.has_left(self.path.interface())? {
            self.path.set_elsewhere(elsewhere);
        }
        if let Some(change) = self.transactions.read()? {
            self.changed(change);
        }
        if let Some(policies) = &mut self.policies
            && policies.changed()?
        {
            self.path.require_proof();
            if !self.policies_closed {
                self.policies_closed = true;
                self.path.suspend(Obstacle::Ipsec, POLICIES_CHANGED);
            }
            self.pace.changed();
        }
        let now = Instant::now();
        if self.routing_at <= now && self.routing.changed()? {
            self.path.require_proof();
            self.routing_at = now + ROUTING;
        }
        let _ = read(&self.waker, &mut [0; 8]);
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Examined(report) => self.conclude(report),
                News::End => return Ok(false),
            }
        }
        Ok(true)
    }

    fn changed(&mut self, change: RulesetChange) {
        if change == RulesetChange::Renewal {
            return;
        }
        self.path.require_proof();
        if change == RulesetChange::Doubtful || self.latent {
            self.doubt();
        }
        self.pace.changed();
    }

    /// Closes the path until the rules are examined.
    fn doubt(&mut self) {
        if !self.rules_closed {
            self.rules_closed = true;
            self.path.suspend(Obstacle::Rules, CHANGED);
        }
    }

    fn look_for_legacy(&mut self) {
        let legacy = match legacy_rules() {
            Ok(table) => table.map(|table| {
                format!(
                    "iptables-legacy has rules in the table '{table}', which cannot be followed"
                )
            }),
            Err(error) => Some(format!(
                "the tables of iptables-legacy cannot be seen: {error}"
            )),
        };
        if legacy != self.legacy {
            self.legacy = legacy;
            self.path.require_proof();
            self.doubt();
            self.pace.changed();
        }
    }

    /// Starts a thread that examines rules and policies.
    fn examine(&mut self) {
        let (datagrams, examined) = (self.datagrams.clone(), self.examined.clone());
        let waker = Arc::clone(&self.waker);
        let thread = std::thread::Builder::new().name("rules-look".to_owned());
        let spawned = thread.spawn(move || {
            let report = Report::of(&datagrams);
            // The value may have gone.
            let _ = examined.send(News::Examined(report));
            wake(&waker);
        });
        if let Err(error) = spawned {
            let reason = WatchError::Thread(error).to_string();
            self.conclude(Report {
                rules: Err(reason.clone()),
                policy: Err(reason),
                took: Duration::ZERO,
            });
        }
    }

    fn conclude(&mut self, report: Report) {
        let known = report.rules.is_ok() && report.policy.is_ok();
        // The latest news is that of another change.
        let current = self.pace.finish(Instant::now(), report.took, known);
        let rule = match report.rules {
            Ok((rule, latent)) => {
                self.latent = latent;
                rule.or_else(|| self.legacy.clone())
            }
            Err(error) => Some(format!(
                "the rules of this host cannot be examined: {error}"
            )),
        };
        let policy = report.policy.unwrap_or_else(|error| {
            Some(format!("the IPsec policies cannot be examined: {error}"))
        });
        for (obstacle, found, closed) in [
            (Obstacle::Rules, rule, &mut self.rules_closed),
            (Obstacle::Ipsec, policy, &mut self.policies_closed),
        ] {
            match found {
                Some(words) => {
                    *closed = true;
                    self.path.hinder(obstacle, words);
                }
                None if current && *closed => {
                    *closed = false;
                    self.path.clear(obstacle);
                }
                None => {}
            }
        }
    }
}

impl Report {
    /// Examines the rules and policies of the thread's network namespace.
    fn of(datagrams: &Datagrams) -> Self {
        let start = Instant::now();
        let rules = || {
            let examination = Netlink::open()?.with_limit(LARGEST).examine(datagrams)?;
            let found = examination.found.map(|rule| rule.to_string());
            Ok::<_, NftError>((found, examination.latent))
        };
        let policy = || {
            let found = match IpsecPolicies::open()? {
                Some(mut policies) => policies.find(&datagrams.ports)?,
                None => None,
            };
            Ok::<_, io::Error>(found.map(|policy| policy.to_string()))
        };
        Self {
            rules: rules().map_err(|error| error.to_string()),
            policy: policy().map_err(|error| error.to_string()),
            took: start.elapsed(),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn wake(waker: &OwnedFd) {
    // Only a full counter refuses, and that wakes, too.
    let _ = write(waker, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests;
