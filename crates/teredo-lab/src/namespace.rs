//! A network namespace without a name, held by a file descriptor and gone with its last holder.

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sched::{CloneFlags, setns, unshare};
use teredo_nft::Netlink as Nftables;

use crate::error::{Attempt, LabError};
use crate::netlink::{Interface, NetlinkSocket};

/// A task for the thread that lives in the namespace.
type Task = Box<dyn FnOnce() + Send>;

/// Settings of a fresh namespace, because some kernels and distributions copy the machine's own.
///
/// Addresses are usable at once instead of after duplicate address detection, and no interface takes
/// part in router discovery: the lab's routes are static.
const SYSCTLS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv6/conf/all/forwarding", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
];

/// A network namespace of its own, with its loopback interface up.
///
/// A clone is another handle to the same namespace. The kernel removes the namespace, with every
/// link, address, route and rule in it, once the last handle is dropped and the last process in it
/// has ended; nothing is left in the file system.
///
/// One thread lives in the namespace as long as any handle does. It starts the processes, because
/// a process that is to die with its parent dies with the *thread* that started it (`PR_SET_PDEATHSIG` in prctl(2)).
#[derive(Debug, Clone)]
pub struct Namespace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    route: Mutex<NetlinkSocket>,
    nftables: Mutex<Nftables>,
    tasks: Option<mpsc::Sender<Task>>,
    resident: Option<JoinHandle<()>>,
}

/// The namespace's file and sockets, from the resident thread.
type Opened = (File, NetlinkSocket, Nftables);

impl Namespace {
    /// Makes a namespace with nothing in it but the loopback interface.
    ///
    /// # Errors
    ///
    /// [`LabError::NotPermitted`] without `CAP_SYS_ADMIN`; [`LabError::Kernel`] when the kernel has
    /// no network namespaces or `user.max_net_namespaces` is reached.
    pub fn new() -> Result<Self, LabError> {
        let (tasks, queue) = mpsc::channel::<Task>();
        let (opened, received) = mpsc::sync_channel::<io::Result<Opened>>(1);
        let resident = thread::Builder::new()
            .name("lab-namespace".into())
            .spawn(move || {
                let result = move_into_new_namespace();
                let alive = result.is_ok();
                if opened.send(result).is_ok() && alive {
                    for task in queue {
                        task();
                    }
                }
            })
            .attempt("start a thread")?;
        let received = received.recv();
        let opened = received.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
        let (file, route, nftables) = match opened.attempt("make a network namespace") {
            Ok(opened) => opened,
            Err(error) => {
                // A thread that is still about to end would keep its caller from privilege::enter.
                drop(resident.join());
                return Err(error);
            }
        };
        let namespace = Self {
            inner: Arc::new(Inner {
                file,
                route: Mutex::new(route),
                nftables: Mutex::new(nftables),
                tasks: Some(tasks),
                resident: Some(resident),
            }),
        };
        namespace
            .route(|route| route.set_up(LOOPBACK))
            .attempt("bring the loopback up")?;
        Ok(namespace)
    }

    /// Runs `f` on a thread inside the namespace and returns its result. Sockets that it opens
    /// stay in the namespace, whichever thread uses them. A panic continues in the caller.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started or moved into the namespace.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name("lab-visitor".into())
                .spawn_scoped(scope, || self.enter().map(|()| f()))?;
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a process inside the namespace.
    ///
    /// The child outlives its handle and this process; a [`Process`](crate::Process) does not.
    ///
    /// # Errors
    ///
    /// As for [`Command::spawn`].
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let mut moved = std::mem::replace(command, Command::new(""));
        let (result, returned) = self.in_resident(move || {
            let result = moved.spawn();
            (result, moved)
        })?;
        *command = returned;
        result
    }

    /// Moves the calling thread into the namespace, for good.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, which it does only without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.inner.file, CloneFlags::CLONE_NEWNET)?)
    }

    /// Sets a kernel parameter of the namespace, by its path below `/proc/sys`, such as
    /// `net/ipv6/conf/eth0/disable_ipv6`.
    ///
    /// # Errors
    ///
    /// If there is no such parameter, or it does not belong to the namespace.
    pub fn set_sysctl(&self, path: &str, value: &str) -> io::Result<()> {
        let (path, value) = (path.to_owned(), value.to_owned());
        self.in_resident(move || write_sysctl(&path, &value))?
    }

    /// Makes a cable between this namespace and `other`: a pair of Ethernet interfaces, `name` here and up, `far_name`
    /// there and down.
    ///
    /// # Errors
    ///
    /// If an interface of that name exists, or the kernel has no veth.
    pub fn connect(&self, name: &str, other: &Self, far_name: &str) -> io::Result<()> {
        // The kernel replaces an index of zero by the next free one.
        let [near, far] = [name, far_name].map(|name| Interface { index: 0, name });
        self.route(|route| route.add_veth(near, far, other))
    }

    /// Uses the namespace's rtnetlink socket.
    pub(crate) fn route<T>(&self, f: impl FnOnce(&mut NetlinkSocket) -> T) -> T {
        f(&mut self
            .inner
            .route
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses the namespace's socket for nftables.
    pub(crate) fn nftables<T>(&self, f: impl FnOnce(&mut Nftables) -> T) -> T {
        f(&mut self
            .inner
            .nftables
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// The file whose descriptor names the namespace to the kernel.
    pub(crate) fn file(&self) -> &File {
        &self.inner.file
    }

    /// Runs `f` on the thread that lives in the namespace.
    fn in_resident<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the thread of the network namespace is gone");
        let (answer, answered) = mpsc::sync_channel(1);
        let task: Task = Box::new(move || drop(answer.send(f())));
        let tasks = self.inner.tasks.as_ref().ok_or_else(gone)?;
        tasks.send(task).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when no sender of tasks is left. Only then is the namespace free.
        drop(self.tasks.take());
        if let Some(resident) = self.resident.take()
            && resident.join().is_err()
        {
            tracing::warn!("the thread of a network namespace had panicked");
        }
    }
}

/// The index of the loopback interface: the first of every namespace.
const LOOPBACK: u32 = 1;

fn move_into_new_namespace() -> io::Result<Opened> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    // `/proc/self` is the process, whose main thread is elsewhere.
    let file = File::open("/proc/thread-self/ns/net")?;
    for (path, value) in SYSCTLS {
        match write_sysctl(path, value) {
            // A kernel without IPv6 still has an IPv4 lab.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok((file, NetlinkSocket::open(NETLINK_ROUTE)?, Nftables::open()?))
}

/// `/proc/sys/net` shows the namespace of the thread that looks.
fn write_sysctl(path: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/{path}"), value)
        .map_err(|error| io::Error::new(error.kind(), format!("{path} = {value}: {error}")))
}

#[cfg(test)]
mod tests;
