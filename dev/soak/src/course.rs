//! The course of a run: faults in the order of the plan, and the way back after each.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::fault::{Fault, Kind};
use crate::inflict::{Fate, Force};
use crate::journal::{Invariant, Journal};
use crate::observers::Address;
use crate::observers::exceptions::Exceptions;
use crate::observers::growth::Watch;
use crate::observers::subscribers::Subscribers;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::traffic::Flow;
use crate::world::SERVERS;

/// The name of an episode with two faults: which of them took how long cannot be told.
pub(crate) const PAIR: &str = "two-at-once";

const LOOK: Duration = Duration::from_millis(20);
/// After a bound was missed, the run goes on when service is back, or after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// An episode that is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) episode: usize,
    /// The kind of its fault, or [`PAIR`].
    pub(crate) kind: &'static str,
    /// The faults in words.
    pub(crate) faults: Vec<String>,
    /// When they began, were over, and when service was back, in milliseconds since the start.
    pub(crate) began_ms: u64,
    pub(crate) lifted_ms: u64,
    pub(crate) back_ms: u64,
    pub(crate) bound_ms: u64,
    /// Whether service was back within the bound.
    pub(crate) in_time: bool,
}

impl Outcome {
    pub(crate) fn recovery_ms(&self) -> u64 {
        self.back_ms.saturating_sub(self.lifted_ms)
    }
}

/// Everything that says whether service is there.
pub(crate) struct Service {
    pub(crate) to_peer: Arc<Flow>,
    pub(crate) to_native: Arc<Flow>,
    pub(crate) exceptions: Arc<Exceptions>,
    pub(crate) subscribers: Arc<Subscribers>,
    /// The address of the peer.
    pub(crate) peer: Address,
    /// Which of the servers is the one.
    pub(crate) place: Arc<AtomicUsize>,
}

impl Service {
    /// The thing that is not right since this time; none: service is there.
    pub(crate) fn lacks(&self, since: Duration) -> Option<String> {
        if !self.to_peer.is_answered_since(since) {
            return Some(String::from("no answer from the peer"));
        }
        if !self.to_native.is_answered_since(since) {
            return Some(String::from("no answer from the native host"));
        }
        let look = self.exceptions.last();
        if look.at < since {
            return Some(String::from("no look at the rules yet"));
        }
        if look.dropped.is_none() {
            return Some(String::from("there is no block"));
        }
        // The old paths work on without a server: without this, a server that has moved would be no fault.
        let server = SERVERS[self.place.load(Ordering::Acquire)][0];
        for (who, address) in [("alice", look.address), ("the peer", self.peer.get())] {
            if address.and_then(server_of) != Some(server) {
                return Some(format!("{who} has {address:?}, which is not of {server}"));
            }
        }
        let Some(open) = look.open else {
            return Some(String::from("the administrator's set does not exist"));
        };
        let mut ports = open.iter();
        let (Some(&port), None) = (ports.next(), ports.next()) else {
            return Some(format!("the set holds {open:?}"));
        };
        if !look.bound.contains(&port) {
            return Some(format!("port {port} is in the set, and nobody uses it"));
        }
        let (believers, all) = self.subscribers.believers(port);
        (believers < all)
            .then(|| format!("{believers} of {all} subscribers know the port {port} of the set"))
    }
}

/// The server in a Teredo address (RFC 4380 §4).
fn server_of(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = (address.to_bits() >> 64) as u32;
    (address.segments()[..2] == [0x2001, 0]).then(|| Ipv4Addr::from_bits(bits))
}

/// Plays the plan until `length` has passed.
pub(crate) fn run(
    fate: &Fate,
    service: &Service,
    watch: &Watch,
    seed: u64,
    length: Duration,
    progress: &mut Progress,
) -> Result<Vec<Outcome>> {
    let journal = &fate.journal;
    let mut outcomes = Vec::new();
    for episode in Plan::new(seed) {
        watch.set_calm(true);
        progress.wait(episode.calm, "calm", &outcomes);
        watch.set_calm(false);
        if journal.now() >= length {
            break;
        }
        outcomes.push(play(fate, service, &episode.faults, progress, &outcomes)?);
    }
    Ok(outcomes)
}

fn play(
    fate: &Fate,
    service: &Service,
    faults: &[Fault],
    progress: &mut Progress,
    before: &[Outcome],
) -> Result<Outcome> {
    let journal = &fate.journal;
    let number = journal.begin_episode();
    let began = journal.now();
    let words: Vec<String> = faults.iter().map(Fault::describe).collect();
    let title = words.join(" + ");
    let mut forces: Vec<(Instant, Force)> = Vec::new();
    // Service may be there without those who were killed, for a while.
    let mut killed = Vec::new();
    for fault in faults {
        journal.note(&fault.describe());
        if let Some(role) = fault.kind.kills() {
            let unit = fate.cast.unit(role);
            killed.push((Arc::clone(unit), unit.lives()));
        }
        let force = fate.inflict(fault)?;
        forces.push((Instant::now() + fault.length, force));
        if fault.rebind {
            fate.rebind();
        }
    }
    forces.sort_by_key(|(until, _)| *until);
    for (until, force) in forces {
        progress.wait(
            until.saturating_duration_since(Instant::now()),
            &title,
            before,
        );
        fate.lift(force)?;
    }
    let lifted = journal.now();
    let bound: Duration = faults.iter().map(|fault| fault.bound().0).sum();
    let lacks = || {
        let away = killed.iter().find(|(unit, lives)| unit.lives() == *lives);
        away.map(|(unit, _)| format!("the {} is not there again", unit.role.name()))
            .or_else(|| service.lacks(lifted))
    };
    let in_time = is_back(journal, lacks, lifted, bound, &title, progress, before);
    let back = journal.now();
    Ok(Outcome {
        episode: number,
        kind: match faults {
            [one] => one.kind.name(),
            _ => PAIR,
        },
        faults: words,
        began_ms: began.as_millis() as u64,
        lifted_ms: lifted.as_millis() as u64,
        back_ms: back.as_millis() as u64,
        bound_ms: bound.as_millis() as u64,
        in_time,
    })
}

/// Waits until service is back, and says whether that was within the bound.
fn is_back(
    journal: &Journal,
    lacks: impl Fn() -> Option<String>,
    lifted: Duration,
    bound: Duration,
    title: &str,
    progress: &mut Progress,
    before: &[Outcome],
) -> bool {
    let mut in_time = true;
    loop {
        let Some(lack) = lacks() else {
            return in_time;
        };
        let waited = journal.now().saturating_sub(lifted);
        if in_time && waited > bound {
            in_time = false;
            let text = format!(
                "{title}: no service {:.1} s after the end of the fault (bound {:.0} s): {lack}",
                waited.as_secs_f64(),
                bound.as_secs_f64()
            );
            journal.broken(Invariant::Recovery, &text);
        }
        if waited > bound + PATIENCE {
            journal.note(&format!("given up: {lack}"));
            return false;
        }
        progress.show(&format!("{title}: {lack}"), before);
        thread::sleep(LOOK);
    }
}

/// The longest bound and its reason for each kind, as they are documented.
pub(crate) fn longest_bound(kind: Kind) -> (Duration, &'static str) {
    let (_, longest) = kind.lasts();
    kind.bound(Duration::from_millis(u64::from(longest) * 100))
}
