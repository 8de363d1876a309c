//! The thread that looks at the host: first, and after each change.
#![allow(unsafe_code, reason = "the reactor takes descriptors on trust")]

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_XFRM};
use netlink_sys::{AsyncSocket as _, SocketAddr, TokioSocket};
use rtnetlink::MulticastGroup;
use rustix::io::Errno;
use teredo_nft::{NftError, RulesetChange, Transactions};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::survey::Tables;
use super::{KernelServer, ServerObstacle, host};
use crate::net::NOTICE_BUFFER;

const XFRMNLGRP_POLICY: u32 = 4;

/// The least time between two looks at the host, so that one which changes all the time costs little,
const PAUSE: Duration = Duration::from_secs(1);

/// and how many times the time of a look it is at least.
const SHARE: u32 = 10;

/// How often rules of iptables-legacy are looked for. Nothing announces them.
const LEGACY: Duration = Duration::from_secs(2);

const CHANGING: &str = "the rules or routes of this host are changing";

/// The most notices taken at once.
const MAX_NOTICES: usize = 4096;

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// Notices of the owner.
#[derive(Debug, Default)]
struct Orders {
    end: Notify,
    look: Notify,
}

impl Watch {
    /// Starts in the network namespace of the calling thread. `first` gets the result of the first look at the interfaces.
    pub(super) fn start(
        kernel: KernelServer,
        first: SyncSender<Result<(), String>>,
    ) -> io::Result<Self> {
        let orders = Arc::new(Orders::default());
        let own = Arc::clone(&orders);
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let watched = match runtime {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        () = own.end.notified() => Ok(()),
                        watched = watch(&kernel, &own.look, first) => watched,
                    }
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = watched {
                kernel.hinder(
                    ServerObstacle::Host,
                    format!("the changes of this host cannot be watched: {error}"),
                );
            }
        };
        let thread = thread::Builder::new()
            .name("teredo-server-k".to_owned())
            .spawn(body)?;
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// Makes it look again.
    pub(super) fn look(&self) {
        self.orders.look.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.orders.end.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the host panicked");
        }
    }
}

async fn watch(
    kernel: &KernelServer,
    look: &Notify,
    first: SyncSender<Result<(), String>>,
) -> io::Result<()> {
    let notices = Notices::open()?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let _connection = tokio::spawn(connection);
    let mut first = Some(first);
    loop {
        let began = Instant::now();
        // Before the look, so that no change between is missed.
        notices.take();
        let placed = match Tables::read(&handle).await {
            Ok(tables) => kernel.place(&tables),
            Err(error) => {
                let words = format!("the interfaces of this host cannot be read: {error}");
                kernel.hinder(ServerObstacle::Interface, words.clone());
                Err(words)
            }
        };
        if let Some(first) = first.take() {
            // The owner may not wait for it.
            let _ = first.try_send(placed);
        }
        let obstacle = host::obstacle(&kernel.services());
        let next = began + PAUSE.max(SHARE * began.elapsed());
        let changing = if notices.take_rules() {
            // They have changed meanwhile.
            true
        } else {
            match obstacle {
                Ok(None) => kernel.clear(ServerObstacle::Host),
                Ok(Some(words)) | Err(words) => kernel.hinder(ServerObstacle::Host, words),
            }
            let legacy = host::legacy();
            loop {
                tokio::select! {
                    rules = notices.arrived() => break rules?,
                    () = look.notified() => break false,
                    () = sleep(LEGACY) => if host::legacy() != legacy {
                        break true;
                    },
                }
            }
        };
        if changing {
            kernel.hinder(ServerObstacle::Host, CHANGING);
        }
        // A change of rules is heard at once during the pause, too. While the path is closed, further ones change nothing: they
        // wait in the sockets, and those that do not fit are lost, which is a notice as well.
        let pause = async {
            while !notices.arrived().await? {}
            kernel.hinder(ServerObstacle::Host, CHANGING);
            pending::<io::Result<()>>().await
        };
        if changing {
            sleep_until(next).await;
        } else if let Ok(ended) = timeout_at(next, pause).await {
            ended?;
        }
    }
}

/// The kernel's notices of changes.
struct Notices {
    /// Of links and addresses.
    links: TokioSocket,
    /// Of routes, rules of routing and IPsec: whom the kernel may answer.
    rules: Vec<TokioSocket>,
    /// Of nftables, for the same.
    ruleset: Option<Ruleset>,
}

/// The transactions of nftables.
struct Ruleset {
    readable: AsyncFd<OwnedFd>,
    transactions: RefCell<Transactions>,
}

impl Ruleset {
    /// None if the kernel has no nftables.
    fn open() -> io::Result<Option<Self>> {
        let transactions = match Transactions::open() {
            Err(NftError::Socket { errno, .. }) if errno == Errno::PROTONOSUPPORT => {
                return Ok(None);
            }
            transactions => transactions?,
        };
        let descriptor = transactions.as_fd().try_clone_to_owned()?;
        // SAFETY: the registration owns the descriptor, which nothing replaces or closes while it is there.
        let readable = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Some(Self {
            readable,
            transactions: RefCell::new(transactions),
        }))
    }

    /// Waits for a change. A renewal by the firewall agent is none. Cancel safe.
    async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.readable.readable().await?;
            if self.take()? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Takes the announcements that are there; whether one is of a change.
    fn take(&self) -> io::Result<bool> {
        let change = self.transactions.borrow_mut().read()?;
        Ok(change.is_some_and(|change| change != RulesetChange::Renewal))
    }
}

impl Notices {
    fn open() -> io::Result<Self> {
        let links = subscribe(
            NETLINK_ROUTE,
            &[
                MulticastGroup::Link as u32,
                MulticastGroup::Ipv4Ifaddr as u32,
            ],
        )?;
        let routes = [
            MulticastGroup::Ipv4Route as u32,
            MulticastGroup::Ipv4Rule as u32,
        ];
        let mut rules = vec![subscribe(NETLINK_ROUTE, &routes)?];
        match subscribe(NETLINK_XFRM, &[XFRMNLGRP_POLICY]) {
            // A kernel without it has no such policies.
            Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {}
            socket => rules.push(socket?),
        }
        let ruleset = Ruleset::open()?;
        Ok(Self {
            links,
            rules,
            ruleset,
        })
    }

    /// Waits for a notice; whether it may concern whom the kernel answers. Cancel safe.
    async fn arrived(&self) -> io::Result<bool> {
        let ruleset = async {
            match &self.ruleset {
                Some(ruleset) => ruleset.changed().await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = ruleset => changed.map(|()| true),
            arrived = self.socket_arrived() => arrived,
        }
    }

    /// The same without nftables.
    async fn socket_arrived(&self) -> io::Result<bool> {
        let mut buffer = Vec::with_capacity(4096);
        poll_fn(|context| {
            for (socket, rules) in self
                .rules
                .iter()
                .map(|socket| (socket, true))
                .chain([(&self.links, false)])
            {
                buffer.clear();
                match socket.poll_recv(context, &mut buffer) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(rules)),
                    Poll::Ready(Err(error)) if is_loss(&error) => {
                        return Poll::Ready(Ok(rules));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes the notices that are there.
    fn take(&self) {
        drain(&self.links);
        self.take_rules();
    }

    /// Takes those that may concern whom the kernel answers; whether there were any.
    fn take_rules(&self) -> bool {
        let mut any = false;
        for socket in &self.rules {
            any |= drain(socket);
        }
        if let Some(ruleset) = &self.ruleset {
            // An error is a change, too.
            any |= ruleset.take().unwrap_or(true);
        }
        any
    }
}

/// Takes the notices of a socket; whether there were any.
fn drain(socket: &TokioSocket) -> bool {
    let mut buffer = Vec::with_capacity(4096);
    let mut any = false;
    for _ in 0..MAX_NOTICES {
        buffer.clear();
        match socket.socket_ref().recv(&mut buffer, libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A loss is a notice.
            _ => any = true,
        }
    }
    any
}

fn is_loss(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Of a burst of changes the kernel drops all notices but the first: a loss is one, too.
fn subscribe(protocol: isize, groups: &[u32]) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().set_rx_buf_sz(NOTICE_BUFFER)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
    for &group in groups {
        socket.socket_mut().add_membership(group)?;
    }
    Ok(socket)
}
