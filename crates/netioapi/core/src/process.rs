//! The state of the library in a process: its watchers, and the registrations by their handles.
//!
//! A fork copies memory but not threads, and a lock that another thread held stays locked in the copy. So the child
//! abandons the state without reading it: it begins like a new process, without registrations, and the connection
//! stays the parent's.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use teredo_notify::code::Code;
use teredo_notify::hub::ForkHold;
use teredo_notify::watcher::{WatchRegistration, Watcher};
use teredo_notify::{DEFAULT_SOCKET, Notification};

use crate::Flavour;
use crate::signals::Deferred;

struct Process {
    /// For registrations that gate.
    gating: Watcher,
    /// For those that do not.
    plain: Watcher,
    registrations: Mutex<HashMap<Handle, WatchRegistration>>,
    /// The engine handles that are open.
    engines: Mutex<BTreeSet<usize>>,
}

/// Made by the first call, and never freed, because threads of the library may use it at any time.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

/// Continues in forks, so that no handle of the parent is one of the child's.
static LAST_HANDLE: AtomicUsize = AtomicUsize::new(0);

/// The family of functions that a handle belongs to; the other one refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Api {
    PortChange,
    SystemPorts,
}

/// The number of a registration: a count from 1, then a bit for the flavour and one for the family of functions. No
/// number is used twice, and none is an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Handle(usize);

impl Handle {
    pub(crate) fn next<F: Flavour>(api: Api) -> Option<Self> {
        let next = |last: usize| (last < usize::MAX >> 2).then(|| last + 1);
        let last = LAST_HANDLE
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok()?;
        Some(Self((last + 1) << 2 | Self::marks::<F>(api)))
    }

    /// The caller's value, if it can be a handle of these functions.
    pub(crate) fn of<F: Flavour>(value: *mut c_void, api: Api) -> Option<Self> {
        let number = value.addr();
        (number & 3 == Self::marks::<F>(api)).then_some(Self(number))
    }

    fn marks<F: Flavour>(api: Api) -> usize {
        usize::from(F::MARK) << 1 | usize::from(api == Api::SystemPorts)
    }

    pub(crate) fn as_pointer(self) -> *mut c_void {
        ptr::without_provenance_mut(self.0)
    }
}

/// Whether new registrations gate.
static GATING: AtomicBool = AtomicBool::new(true);

/// Chooses whether registrations from now on gate.
pub(crate) fn set_gating(gating: bool) {
    GATING.store(gating, Ordering::Relaxed);
}

/// A watcher that knows the port if one does.
pub(crate) fn watcher() -> Result<&'static Watcher, Code> {
    let process = process()?;
    Ok(if process.gating.is_registered() {
        &process.gating
    } else {
        &process.plain
    })
}

/// Registers a callback. The handle is in its place before the first call.
pub(crate) fn register<F: Flavour>(
    api: Api,
    initial: bool,
    place: &mut *mut c_void,
    mut call: impl FnMut(Notification) + Send + 'static,
) -> Result<(), Code> {
    let process = process()?;
    let handle = Handle::next::<F>(api).ok_or(Code::InsufficientResources)?;
    let in_place = Arc::new(OnceLock::new());
    let may_run = Arc::clone(&in_place);
    let callback = move |notification| {
        may_run.wait();
        call(notification);
        process.end_in_child();
    };
    let deferred = Deferred::new();
    let watcher = if GATING.load(Ordering::Relaxed) {
        &process.gating
    } else {
        &process.plain
    };
    let registration = watcher
        .register(initial, callback)
        .map_err(|error| error.code())?;
    drop(deferred);
    process.registrations().insert(handle, registration);
    *place = handle.as_pointer();
    // It is set only here.
    let _ = in_place.set(());
    Ok(())
}

/// Ends a registration, when its running callback has returned (N-06, N-07).
pub(crate) fn cancel(handle: Handle) -> Result<(), Code> {
    let registration = process()?.registrations().remove(&handle);
    // The table is unlocked here: a callback that this waits for may cancel too.
    registration.map(drop).ok_or(Code::InvalidHandle)
}

/// The engine handles that are open in this process.
pub(crate) fn engines() -> Result<MutexGuard<'static, BTreeSet<usize>>, Code> {
    let engines = process()?.engines.lock();
    Ok(engines.unwrap_or_else(PoisonError::into_inner))
}

impl Process {
    fn new() -> Self {
        let (path, gating) = environment();
        Self {
            gating: if gating {
                Watcher::gating(&path)
            } else {
                Watcher::new(&path)
            },
            plain: Watcher::new(path),
            registrations: Mutex::default(),
            engines: Mutex::default(),
        }
    }

    fn registrations(&self) -> MutexGuard<'_, HashMap<Handle, WatchRegistration>> {
        self.registrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A callback has returned. If it has forked, and this is the child, the thread is the child's only one: the child
    /// ends like a process whose last thread has ended.
    fn end_in_child(&self) {
        if !ptr::eq(PROCESS.load(Ordering::Acquire), self) {
            // SAFETY: it has no conditions. In the child of a process with several threads, it is exit that has.
            unsafe { libc::_exit(0) }
        }
    }
}

/// The socket, and whether registrations may gate (`TEREDO_GATE=0`: they may not). A program that runs with more rights
/// than its user ignores the environment, which is the user's.
fn environment() -> (PathBuf, bool) {
    // SAFETY: it has no conditions.
    match unsafe { libc::getauxval(libc::AT_SECURE) } {
        0 => {
            let gating = std::env::var_os("TEREDO_GATE").is_none_or(|value| value != "0");
            (teredo_notify::socket_path(), gating)
        }
        _ => (PathBuf::from(DEFAULT_SOCKET), true),
    }
}

fn process() -> Result<&'static Process, Code> {
    let known = PROCESS.load(Ordering::Acquire);
    let current = if known.is_null() { begin()? } else { known };
    // SAFETY: it came from a Box, and is never freed.
    Ok(unsafe { &*current })
}

fn begin() -> Result<*mut Process, Code> {
    follow_forks()?;
    let new = Box::into_raw(Box::new(Process::new()));
    match PROCESS.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(new),
        Err(current) => {
            // SAFETY: it came from a Box a moment ago, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
            Ok(current)
        }
    }
}

/// From now on, a child of a fork begins anew. Two threads may do this at once, which is harmless.
fn follow_forks() -> Result<(), Code> {
    static FOLLOWED: AtomicBool = AtomicBool::new(false);
    if !FOLLOWED.load(Ordering::Acquire) {
        // SAFETY: the handlers only take and release a lock that is held for moments, and write an atomic. glibc
        // removes them if their code is unloaded.
        let refused =
            unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        if refused != 0 {
            return Err(Code::InsufficientResources);
        }
        stay_loaded();
        FOLLOWED.store(true, Ordering::Release);
    }
    Ok(())
}

/// Keeps this code in memory until the process ends: a thread that was just started or is about to exit runs it, even
/// after the last registration. The shared libraries are linked with `-z nodelete`; a plugin that contains the static
/// one is not.
fn stay_loaded() {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr writes to the structure and takes any address.
    let known = unsafe { libc::dladdr(stay_loaded as *const c_void, found.as_mut_ptr()) } != 0;
    // SAFETY: zeros are a valid value of it.
    let found = unsafe { found.assume_init() };
    if known && !found.dli_fname.is_null() {
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        // SAFETY: the name ends in a zero. With NOLOAD this loads nothing, and runs no constructors. It finds nothing
        // for a program, which is never unloaded.
        unsafe { libc::dlopen(found.dli_fname, flags) };
    }
}

thread_local! {
    static HELD: Cell<Option<ForkHold>> = const { Cell::new(None) };
}

/// The thread that forks holds the lock that all hubs share, so that no other one does.
extern "C" fn before_fork() {
    // A thread that forks while it exits has no such variable any more.
    let _ = HELD.try_with(|held| {
        let hold = held.take().unwrap_or_else(ForkHold::take);
        held.set(Some(hold));
    });
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(Cell::take);
}

/// A child has no registrations (N-05).
extern "C" fn in_child() {
    PROCESS.store(ptr::null_mut(), Ordering::Release);
    in_parent();
}
