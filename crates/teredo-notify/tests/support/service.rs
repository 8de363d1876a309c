//! A service in a thread of its own, and ways to talk to it.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Gid, Uid};
use serde_json::Value;
use tempfile::TempDir;
use teredo_notify::hub::Hub;
use teredo_notify::service::{
    Config, Control, ControlError, ControlFuture, EventBus, Outcome, Service, ServiceError,
};
use teredo_notify::types::{Phase, Status};
use tokio::sync::oneshot;

pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen to happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(100);

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::yield_now();
    }
}

/// A client that does as it is told, and keeps a record.
pub(crate) struct ScriptedClient {
    hub: Hub,
    pub(crate) calls: Mutex<Vec<String>>,
    /// As long as this is locked, a rebind to port 25 holds up the service's thread.
    pub(crate) hold: Mutex<()>,
}

impl ScriptedClient {
    fn announce(
        &self,
        call: String,
        port: u16,
    ) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.calls.lock().unwrap().push(call);
        Box::pin(async move {
            let sequence = self.hub.publish(port);
            let settled = tokio::time::timeout(SOON, self.hub.settled(sequence))
                .await
                .is_ok();
            Ok(Outcome { port, settled })
        })
    }
}

impl Control for ScriptedClient {
    fn status(&self) -> ControlFuture<'_, Status> {
        let status = Status {
            state: Phase::Qualified,
            server: Some("teredo.example.net".to_owned()),
            // What the service must correct from the hub.
            port: 1,
            sequence: 999,
            ..Status::default()
        };
        Box::pin(async { status })
    }

    fn rebind(&self, port: Option<u16>) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        match port {
            Some(22) => Box::pin(async { Err(ControlError::PortInUse(22)) }),
            Some(23) => Box::pin(async { Err(ControlError::Failed("no telnet".to_owned())) }),
            Some(24) => Box::pin(async { Err(ControlError::NotReady) }),
            Some(25) => {
                self.calls.lock().unwrap().push("held up".to_owned());
                drop(self.hold.lock());
                Box::pin(async { Err(ControlError::NotReady) })
            }
            port => self.announce(format!("rebind {port:?}"), port.unwrap_or(50_000)),
        }
    }

    fn stop(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.announce("stop".to_owned(), 0)
    }

    fn start(&self) -> ControlFuture<'_, Result<Outcome, ControlError>> {
        self.announce("start".to_owned(), 40_000)
    }
}

/// A folder for a socket that every user may enter.
pub(crate) fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}

pub(crate) struct Running {
    pub(crate) hub: Hub,
    pub(crate) events: EventBus,
    pub(crate) client: Arc<ScriptedClient>,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(path: &Path) -> Self {
        Self::try_start(&Config::new(path)).unwrap()
    }

    pub(crate) fn try_start(config: &Config) -> Result<Self, ServiceError> {
        let hub = Hub::new();
        let events = EventBus::new(hub.clone());
        let client = Arc::new(ScriptedClient {
            hub: hub.clone(),
            calls: Mutex::default(),
            hold: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let control: Arc<dyn Control> = Arc::<ScriptedClient>::clone(&client);
        let service = Service::bind(config, hub.clone(), events.clone(), control)?;
        drop(entered);
        let thread = thread::spawn(move || {
            runtime.block_on(service.run(async { drop(stopped.await) }));
        });
        let path = config.path.clone();
        Ok(Self {
            hub,
            events,
            client,
            path,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw(UnixStream::connect(&self.path).unwrap())
    }

    /// Waits until the service is down and the socket gone.
    pub(crate) fn stop(self) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the service has panicked"
            );
        }
    }
}

/// A connection that says exactly what it is told to.
pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    pub(crate) fn send(&mut self, message: &Value) {
        self.send_bytes(format!("{message}\0").as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next message; none if the service has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        self.0.set_read_timeout(Some(SOON)).unwrap();
        let mut message = Vec::new();
        loop {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) => return None,
                Ok(_) if byte == [0] => break,
                Ok(_) => message.push(byte[0]),
                // Stopped and continued: the kernel does not restart a read with a timeout, signal(7).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
        Some(serde_json::from_slice(&message).unwrap())
    }

    pub(crate) fn call(&mut self, message: &Value) -> Value {
        self.send(message);
        self.receive().expect("the connection was closed")
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.set_read_timeout(Some(A_WHILE)).unwrap();
        self.0.read(&mut [0]).is_err()
    }
}

/// Runs `body` as another user, who is in `group` alone. Needs root.
pub(crate) fn as_user<R: Send>(uid: u32, group: u32, body: impl FnOnce() -> R + Send) -> R {
    as_member(uid, group, &[], body)
}

/// The same with supplementary groups.
pub(crate) fn as_member<R: Send>(
    uid: u32,
    group: u32,
    others: &[u32],
    body: impl FnOnce() -> R + Send,
) -> R {
    let others: Vec<_> = others.iter().copied().map(Gid::from_raw).collect();
    thread::scope(|scope| {
        let run = || {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(group));
            rustix::thread::set_thread_groups(&others).expect("these tests need root");
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            body()
        };
        scope.spawn(run).join().unwrap()
    })
}
