//! The exception: the ports in the administrator's set, by the real `nft`, beside those that are bound, by the kernel's
//! table of sockets; and, in the same look, the block and the Teredo address.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use teredo_lab::Host;

use crate::journal::{Invariant, Journal};
use crate::spawning;
use crate::traffic::spawn;

const PERIOD: Duration = Duration::from_millis(100);
/// The lease of an exception, by default. Within it an exception may outlive its reason.
const LEASE: Duration = Duration::from_secs(15);
/// The kernel counts in ticks, `nft` takes a moment, and a period passes between two looks.
const ROUNDING: Duration = Duration::from_millis(1_500);

/// A look at the rules and the sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// When it began, since the start.
    pub(crate) at: Duration,
    /// The ports in the set; none: there is no such set.
    pub(crate) open: Option<BTreeSet<u16>>,
    /// The UDP ports of IPv4 that are bound on the host.
    pub(crate) bound: BTreeSet<u16>,
    /// The packets that the block has dropped; none: there is no block.
    pub(crate) dropped: Option<u64>,
    /// The Teredo address of the host, by the kernel.
    pub(crate) address: Option<Ipv6Addr>,
}

/// The observer.
pub(crate) struct Exceptions {
    journal: Arc<Journal>,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    last: Look,
    looks: u64,
    /// Packets dropped by all blocks so far.
    dropped: u64,
    /// Since when an open port is not bound.
    stale: BTreeMap<u16, Duration>,
    longest: Duration,
}

impl Exceptions {
    pub(crate) fn start(alice: &Host, journal: &Arc<Journal>) -> Result<Arc<Self>> {
        let own = Arc::new(Self {
            journal: Arc::clone(journal),
            state: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let (observer, namespace) = (Arc::clone(&own), alice.namespace().clone());
        spawn(move || {
            if let Err(error) = namespace.enter() {
                let text = format!("no look at the rules: {error}");
                observer.journal.broken(Invariant::Observers, &text);
                return;
            }
            while !observer.over.load(Ordering::Acquire) {
                match look(observer.journal.now()) {
                    Ok(look) => observer.judge(look),
                    Err(error) => {
                        let text = format!("no look at the rules: {error:#}");
                        observer.journal.broken(Invariant::Observers, &text);
                    }
                }
                thread::sleep(PERIOD);
            }
        })?;
        Ok(own)
    }

    /// The last look.
    pub(crate) fn last(&self) -> Look {
        self.state().last.clone()
    }

    /// How many looks there were, how many packets the block has dropped, and how long a port was open for nobody.
    pub(crate) fn counts(&self) -> (u64, u64, Duration) {
        let state = self.state();
        (state.looks, state.dropped, state.longest)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn judge(&self, look: Look) {
        let mut state = self.state();
        state.looks += 1;
        let now_dropped = look.dropped.unwrap_or_default();
        let before = state.last.dropped.unwrap_or_default();
        // A new block counts from zero.
        state.dropped += now_dropped.checked_sub(before).unwrap_or(now_dropped);
        let at = look.at;
        let stale: BTreeSet<u16> = look
            .open
            .iter()
            .flatten()
            .filter(|port| !look.bound.contains(port))
            .copied()
            .collect();
        state.stale.retain(|port, _| stale.contains(port));
        let mut too_long = Vec::new();
        for port in stale {
            let since = *state.stale.entry(port).or_insert(at);
            let open_for = at.saturating_sub(since);
            state.longest = state.longest.max(open_for);
            if open_for > LEASE + ROUNDING {
                too_long.push((port, open_for));
            }
        }
        state.last = look;
        drop(state);
        if let Some((port, open_for)) = too_long.first() {
            let text = format!(
                "port {port} has been in the set for {:.1} s, and nobody uses it",
                open_for.as_secs_f64()
            );
            self.journal.broken(Invariant::StaleException, &text);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(at: Duration) -> Result<Look> {
    let mut command = Command::new("nft");
    command
        .args(["-j", "list", "ruleset"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = spawning::ordinary(|| command.spawn());
    let output = child
        .and_then(std::process::Child::wait_with_output)
        .context("cannot run nft (package nftables)")?;
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Behind the rules: a port that closes in between is looked at again, one that opens is no concern.
    let sockets = fs::read_to_string("/proc/thread-self/net/udp").context("no table of sockets")?;
    let addresses = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    let listing = serde_json::from_slice(&output.stdout).context("nft prints no JSON")?;
    let (open, dropped) = read(&listing);
    Ok(Look {
        at,
        open,
        bound: bound_ports(&sockets),
        dropped,
        address: teredo_address(&addresses),
    })
}

/// The ports in the set, and the packets that the block has dropped.
fn read(listing: &Value) -> (Option<BTreeSet<u16>>, Option<u64>) {
    let items = listing["nftables"].as_array().cloned().unwrap_or_default();
    let is_in = |object: &Value, family: &str, table: &str| {
        object["family"] == family && object["table"] == table
    };
    let set = items
        .iter()
        .map(|item| &item["set"])
        .find(|set| is_in(set, "inet", "filter") && set["name"] == "teredo_ports");
    let open = set.map(|set| {
        let elements = set["elem"].as_array().cloned().unwrap_or_default();
        let port = |element: &Value| element.as_u64().or_else(|| element["elem"]["val"].as_u64());
        elements
            .iter()
            .filter_map(port)
            .filter_map(|port| u16::try_from(port).ok())
            .collect()
    });
    let dropped = items
        .iter()
        .map(|item| &item["rule"])
        .filter(|rule| is_in(rule, "inet", "teredo") && rule["chain"] == "inside")
        .filter_map(|rule| rule["expr"].as_array())
        .filter(|parts| parts.iter().any(|part| part.get("drop").is_some()))
        .find_map(|parts| {
            parts
                .iter()
                .find_map(|part| part["counter"]["packets"].as_u64())
        });
    (open, dropped)
}

/// The local ports of `/proc/net/udp`.
fn bound_ports(table: &str) -> BTreeSet<u16> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter_map(|local| local.rsplit_once(':'))
        .filter_map(|(_, port)| u16::from_str_radix(port, 16).ok())
        .collect()
}

/// The Teredo address in `/proc/net/if_inet6`.
fn teredo_address(table: &str) -> Option<Ipv6Addr> {
    table
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(Ipv6Addr::from_bits)
        .find(|address| address.segments()[..2] == [0x2001, 0])
}

#[cfg(test)]
mod tests;
