//! firewalld: the port is opened in its zones, over D-Bus.
//!
//! firewalld rejects what no rule of a zone accepts, and an `accept` in another table does not override that. So the agent
//! asks firewalld for a rich rule at run time, with a timeout. firewalld removes such a rule by itself, so the exception
//! dies with its maker, and nothing is written to the permanent configuration.
//!
//! firewalld refuses to add a rule that is there, so a rule cannot be renewed. But two rules that differ in their priority
//! alone are two rules. Each renewal adds the next one while the one before still lives, and no moment is without one. The
//! priorities are positive: such rules come behind all that the administrator denies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use teredo_nft::{Condition, Family, Netlink, NftError, TableName};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::block::RETRY;
use crate::config::Exception;
use crate::host::{FIREWALLD, FIREWALLD_RELOADS};

mod bus;
mod keeper;
mod lease;
mod uplink;

/// How long firewalld may take to remove the rules when the agent ends. Their timeouts end them otherwise.
const FAREWELL: Duration = Duration::from_secs(2);

/// The exceptions that firewalld should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The open ports.
    pub(crate) ports: BTreeSet<u16>,
    /// The random ports, which may take longer.
    pub(crate) random: BTreeSet<u16>,
    /// Whether clients discover each other on the link.
    pub(crate) discovery: bool,
    /// The tunnels' interfaces, and the role of each.
    pub(crate) tunnels: BTreeMap<String, Side>,
    /// The ports that are open inside them.
    pub(crate) inside: Vec<Exception>,
    /// How often the kernel did not have what firewalld had confirmed.
    pub(crate) doubts: u64,
    /// The agent ends.
    pub(crate) end: bool,
}

/// The end of a tunnel's traffic that has a Teredo address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// This host is a client.
    Here,
    /// This host is a relay: the others are clients.
    There,
}

/// The exceptions that firewalld has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The ports that are open in all zones.
    pub(crate) ports: BTreeSet<u16>,
    /// The random ports that are.
    pub(crate) random: BTreeSet<u16>,
    /// The zones by which datagrams arrive.
    pub(crate) zones: BTreeSet<String>,
    /// Why a port is not open.
    pub(crate) trouble: Option<String>,
    /// How many of the agent's doubts this answers.
    pub(crate) doubts: u64,
}

/// Keeps the wished exceptions in firewalld.
#[derive(Debug)]
pub(crate) struct Firewalld {
    wish: watch::Sender<Wish>,
    held: watch::Receiver<Held>,
    keeper: JoinHandle<()>,
    doubted: Option<Instant>,
}

impl Firewalld {
    /// Starts with no wish. `lease` is the timeout of the rules.
    pub(crate) fn start(lease: Duration) -> Self {
        let (wish, wishes) = watch::channel(Wish::default());
        let (holds, held) = watch::channel(Held::default());
        let keeper = tokio::spawn(keeper::keep(wishes, holds, lease));
        Self {
            wish,
            held,
            keeper,
            doubted: None,
        }
    }

    /// Wishes for these exceptions and no other.
    pub(crate) fn wish(&self, mut wish: Wish) {
        self.wish.send_if_modified(|current| {
            wish.doubts = current.doubts;
            let changed = *current != wish;
            *current = wish;
            changed
        });
    }

    /// The kernel lacks a rule. firewalld is asked again, and not more often than it can answer.
    pub(crate) fn doubt(&mut self) {
        if self.doubted.is_none_or(|last| last.elapsed() >= RETRY) {
            self.doubted = Some(Instant::now());
            self.wish.send_modify(|wish| wish.doubts += 1);
        }
    }

    pub(crate) fn held(&self) -> Held {
        self.held.borrow().clone()
    }

    /// Waits until firewalld has something else than at the last call.
    pub(crate) async fn changed(&mut self) {
        if self.held.changed().await.is_err() {
            // The keeper ends only at the agent's end.
            std::future::pending().await
        }
    }

    /// Removes all rules, and waits for that.
    pub(crate) async fn end(mut self) {
        self.wish.send_modify(|wish| wish.end = true);
        if timeout(FAREWELL, &mut self.keeper).await.is_err() {
            tracing::warn!("firewalld does not answer; the port closes there when its lease ends");
        }
    }
}

impl Drop for Firewalld {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Whether the kernel has rules of firewalld that accept datagrams for these ports, in all these zones. True also if
/// firewalld keeps its rules in iptables, which cannot be read.
pub(crate) fn is_in_kernel(netlink: &mut Netlink, held: &Held) -> Result<bool, NftError> {
    let table = |name| TableName::new(Family::Inet, name);
    if netlink.table(&table(FIREWALLD_RELOADS))?.is_some() {
        return Ok(false);
    }
    let table = table(FIREWALLD);
    if netlink.table(&table)?.is_none() {
        return Ok(true);
    }
    for zone in &held.zones {
        let chain = format!("filter_IN_{zone}_post");
        let rules = netlink.rules(&table, Some(&chain))?.unwrap_or_default();
        let is_open = |port: &u16| {
            rules.iter().any(|rule| {
                let expected = |condition: &Condition| {
                    matches!(condition, Condition::Family(2) | Condition::Protocol(17))
                        || *condition == Condition::DestinationPort(*port)
                };
                let conditions = rule.conditions();
                rule.accepts()
                    && conditions.contains(&Condition::DestinationPort(*port))
                    && conditions.iter().all(expected)
            })
        };
        if !held.ports.iter().all(is_open) {
            return Ok(false);
        }
    }
    Ok(true)
}
