//! The shares of users: of connections, which cost descriptors, and of work.
//!
//! Peers that may control the client have a reserve. All other users together have a pool; in it each user has a
//! share, and when the pool is full a newcomer takes the place of the user with the most connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep};

use super::permission::Peer;

/// Calls that ordinary users may make at once, and in each millisecond after that, all together.
const BURST: u64 = 4096;
const CALLS_PER_MILLISECOND: u64 = 1;
/// Descriptors for the rest of the program.
const OTHER_DESCRIPTORS: usize = 64;
/// A connection has a second descriptor while it waits for room to write.
const DESCRIPTORS_EACH: usize = 2;
/// Refusals are logged at this interval, not each: any user can cause them.
const REFUSAL_LOG: Duration = Duration::from_secs(60);

/// How many of the wanted connections the limit of descriptors allows, after it was raised as far as they need.
pub(super) fn connections(wanted: usize) -> usize {
    let used = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) + OTHER_DESCRIPTORS;
    let needed = (used + wanted.saturating_mul(DESCRIPTORS_EACH)) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    if limit.current.is_some_and(|current| current < raised) {
        let before = limit.current.replace(raised);
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    let available = usize::try_from(limit.current.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let allowed = available.saturating_sub(used) / DESCRIPTORS_EACH;
    wanted.min(allowed).max(1)
}

/// State shared by all users.
#[derive(Debug)]
pub(super) struct Quota {
    capacity: usize,
    silence: Duration,
    users: Mutex<Users>,
    calls: Turn<Bucket>,
}

#[derive(Debug, Default)]
struct Users {
    last_seat: u64,
    all: usize,
    /// The connections of peers that may not control the client.
    ordinary: HashMap<u32, User>,
    ordinary_count: usize,
    refused: Option<Instant>,
}

#[derive(Debug, Default)]
struct User {
    seats: Vec<Arc<SeatState>>,
    direct: usize,
    turn: Arc<Turn<()>>,
}

#[derive(Debug)]
struct SeatState {
    id: u64,
    /// Since when the peer owes its first call, or its read of a reply.
    owes: Mutex<Option<Instant>>,
    evict: Notify,
}

#[derive(Debug)]
struct Bucket {
    calls: u64,
    filled: Instant,
}

impl Quota {
    pub(super) fn new(capacity: usize, silence: Duration) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            silence,
            users: Mutex::default(),
            calls: Turn::new(Bucket {
                calls: BURST,
                filled: Instant::now(),
            }),
        })
    }

    /// A share for a connection of this peer; none if it has no more.
    pub(super) fn seat(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let share = self.capacity.div_ceil(4);
        let pool = self.capacity - self.capacity / 4;
        let mut users = self.users();
        let Peer {
            uid, may_control, ..
        } = peer;
        let admitted = if may_control {
            users.all < self.capacity
        } else {
            let taken = users.ordinary.get(&uid).map_or(0, |user| user.seats.len());
            let room = users.ordinary_count < pool && users.all < self.capacity;
            taken < share && (room || users.evict_for(taken))
        };
        if !admitted {
            if users.refused.is_none_or(|at| at.elapsed() > REFUSAL_LOG) {
                users.refused = Some(Instant::now());
                tracing::warn!(uid, "too many connections; refusing another");
            }
            return None;
        }
        users.last_seat += 1;
        let state = Arc::new(SeatState {
            id: users.last_seat,
            owes: Mutex::new((!may_control).then(Instant::now)),
            evict: Notify::new(),
        });
        users.all += 1;
        let turn = (!may_control).then(|| {
            users.ordinary_count += 1;
            let user = users.ordinary.entry(uid).or_default();
            user.seats.push(Arc::clone(&state));
            Arc::clone(&user.turn)
        });
        Some(Seat {
            quota: Arc::clone(self),
            uid,
            state,
            turn,
            direct: AtomicBool::new(false),
        })
    }

    /// Ends the connections that have been silent for too long.
    pub(super) fn end_silent(&self) {
        let mut users = self.users();
        let silent: Vec<_> = users
            .ordinary
            .iter()
            .flat_map(|(uid, user)| user.seats.iter().map(|seat| (*uid, Arc::clone(seat))))
            .filter(|(_, seat)| {
                seat.owes()
                    .is_some_and(|since| since.elapsed() > self.silence)
            })
            .collect();
        for (uid, seat) in silent {
            users.remove(uid, seat.id);
            seat.evict.notify_one();
        }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    /// Ends the newest connection of the user with the most, if that is fair to a user who has this many.
    fn evict_for(&mut self, taken: usize) -> bool {
        let largest = self
            .ordinary
            .iter()
            .max_by_key(|(_, user)| user.seats.len());
        let Some((uid, seat)) = largest
            .filter(|(_, user)| user.seats.len() > taken + 1)
            .and_then(|(uid, user)| Some((*uid, Arc::clone(user.seats.last()?))))
        else {
            return false;
        };
        self.remove(uid, seat.id);
        seat.evict.notify_one();
        true
    }

    /// Whether the seat was counted until now.
    fn remove(&mut self, uid: u32, id: u64) -> bool {
        let Some(user) = self.ordinary.get_mut(&uid) else {
            return false;
        };
        let Some(place) = user.seats.iter().position(|seat| seat.id == id) else {
            return false;
        };
        user.seats.swap_remove(place);
        self.all -= 1;
        self.ordinary_count -= 1;
        if user.seats.is_empty() && user.direct == 0 {
            self.ordinary.remove(&uid);
        }
        true
    }
}

impl SeatState {
    fn owes(&self) -> MutexGuard<'_, Option<Instant>> {
        self.owes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's share.
#[derive(Debug)]
pub(super) struct Seat {
    quota: Arc<Quota>,
    uid: u32,
    state: Arc<SeatState>,
    /// The user's turn to make a call; none for peers that may control the client.
    turn: Option<Arc<Turn<()>>>,
    /// Whether it has one of the user's direct subscriptions.
    direct: AtomicBool,
}

impl Seat {
    /// Waits until this connection must end.
    pub(super) async fn evicted(&self) {
        self.state.evict.notified().await;
    }

    /// Whether the peer owes the service something: a first call, or the read of a reply.
    pub(super) fn set_owes(&self, owes: bool) {
        if self.turn.is_none() {
            return;
        }
        let mut since = self.state.owes();
        match *since {
            None if owes => *since = Some(Instant::now()),
            Some(_) if !owes => *since = None,
            _ => {}
        }
    }

    /// Waits for the peer's turn to make a call. An ordinary user makes one call at a time, and all of them together
    /// [`CALLS_PER_MILLISECOND`].
    pub(super) async fn turn(&self) -> Option<OwnedMutexGuard<()>> {
        let turn = Arc::clone(self.turn.as_ref()?).lock_owned().await;
        // First come, first served; and each user waits once at most.
        let mut bucket = self.quota.calls.lock().await;
        while !bucket.take() {
            sleep(Duration::from_millis(1)).await;
        }
        Some(turn)
    }

    /// Reserves one of the direct subscriptions; an ordinary user gets a quarter of them at most.
    pub(super) fn may_be_direct(&self, all: usize) -> bool {
        if self.turn.is_none() {
            return true;
        }
        let mut users = self.quota.users();
        let Some(user) = users.ordinary.get_mut(&self.uid) else {
            return false;
        };
        if user.direct >= all / 4 || self.direct.swap(true, Ordering::Relaxed) {
            return false;
        }
        user.direct += 1;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut users = self.quota.users();
        if self.turn.is_none() {
            users.all -= 1;
            return;
        }
        if *self.direct.get_mut()
            && let Some(user) = users.ordinary.get_mut(&self.uid)
        {
            user.direct -= 1;
            if user.seats.is_empty() && user.direct == 0 {
                users.ordinary.remove(&self.uid);
            }
        }
        users.remove(self.uid, self.state.id);
    }
}

impl Bucket {
    fn take(&mut self) -> bool {
        let elapsed = u64::try_from(self.filled.elapsed().as_millis()).unwrap_or(u64::MAX);
        if elapsed > 0 {
            let earned = elapsed.saturating_mul(CALLS_PER_MILLISECOND);
            self.calls = self.calls.saturating_add(earned).min(BURST);
            self.filled += Duration::from_millis(elapsed);
        }
        let ready = self.calls > 0;
        self.calls -= u64::from(ready);
        ready
    }
}
