//! The rest of the program's end of an engine.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use teredo::{Keyring, ServerAddress};
use tokio::sync::oneshot;

use super::{ChangeError, EngineStatus, PortChange};
use crate::Waker;
use crate::net::watch::Attached;
use crate::port::change::Reply;

/// What the thread can be told.
pub(super) enum Command {
    SetServers(Vec<ServerAddress>),
    SetKeyring(Keyring),
    NetworkChanged { local: Ipv4Addr, attached: Attached },
    SetNative(Option<Ipv6Addr>),
    Rebind(Option<u16>, Reply),
    Start(Reply),
    Stop(Reply),
    Status(oneshot::Sender<EngineStatus>),
    Shutdown,
}

/// A running engine. Dropping it is [`shutdown`](Self::shutdown).
///
/// Commands take effect in the order in which they are given; the futures only wait for the answers.
#[derive(Debug)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl EngineHandle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        waker: Waker,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            commands,
            waker,
            thread: Some(thread),
        }
    }

    /// Wakes the engine, for when an announcement has been settled.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Replaces the servers.
    pub fn set_servers(&self, servers: Vec<ServerAddress>) {
        self.send(Command::SetServers(servers));
    }

    /// Replaces the identifiers and secrets. To be called before [`set_servers`](Self::set_servers) where they are for
    /// servers that it adds.
    pub fn set_keyring(&self, keyring: Keyring) {
        self.send(Command::SetKeyring(keyring));
    }

    /// Tells of a changed network: the address that datagrams now leave from (see
    /// [`local_address`](crate::net::watch::local_address)), unspecified where that is not known, and the networks that the
    /// host is attached to (see [`attached`](crate::net::watch::attached)).
    pub fn network_changed(&self, local: Ipv4Addr, attached: Attached) {
        self.send(Command::NetworkChanged { local, attached });
    }

    /// Tells of an address of the host's native IPv6, or that there is none any more. With one, a running client
    /// becomes dormant: its port is closed, and its end announced. Without, a dormant one starts.
    pub fn set_native(&self, native: Option<Ipv6Addr>) {
        self.send(Command::SetNative(native));
    }

    /// Moves to another service port, make before break; without a number the kernel chooses.
    ///
    /// Ready when the new port is in use: announced, and settled or waited for long enough. A port that cannot
    /// be had is an error, unlike at the start, and the client stays where it is.
    pub fn rebind(
        &self,
        port: Option<u16>,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.ask(move |reply| Command::Rebind(port, reply))
    }

    /// Starts a stopped client on the configured port. Ready when the port is in use. With native IPv6 the client
    /// becomes dormant instead, which is an error.
    pub fn start(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.ask(Command::Start)
    }

    /// Stops the client: nothing is sent any more, the port is closed, and its end is announced. Ready when
    /// that is settled or was waited for long enough.
    pub fn stop(&self) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<> {
        self.ask(Command::Stop)
    }

    /// Everything that can be asked; `None` once the engine has ended.
    pub fn status(&self) -> impl Future<Output = Option<EngineStatus>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Status(reply));
        async { answer.await.ok() }
    }

    /// Ends the engine: nothing is sent any more, the port is closed and its end announced, and the interface
    /// disappears. Blocks for no longer than a batch takes; nobody is waited for.
    pub fn shutdown(mut self) {
        self.end();
    }

    /// Whether the thread has ended, which it does by itself only when the interface was deleted.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn ask<C: FnOnce(Reply) -> Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<PortChange, ChangeError>> + Send + use<C> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        async { answer.await.unwrap_or(Err(ChangeError::Ended)) }
    }

    fn send(&self, command: Command) {
        // An engine that has ended drops the command, and with it the sender of the reply.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.send(Command::Shutdown);
            if thread.join().is_err() {
                tracing::error!("the data path panicked");
            }
        }
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        self.end();
    }
}
