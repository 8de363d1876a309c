//! The Teredo client that the programs see: a hub and a service, which do as the program asks.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use teredo_notify::hub::{GateOwner, GateRegistration, Hub};
use teredo_notify::service::{Config, EventBus, ReadOnly, Service, ServiceError};
use tokio::sync::oneshot;

use crate::compile::prefix;
use crate::impostor::{Impostor, NOBODY};

struct Running {
    hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(path: &Path) -> Self {
        let hub = Hub::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let events = EventBus::new(hub.clone());
        let config = Config::new(path);
        let deadline = Instant::now() + Duration::from_secs(10);
        let service = loop {
            match Service::bind(
                &config,
                hub.clone(),
                events.clone(),
                Arc::new(ReadOnly::default()),
            ) {
                // Another test's child has the old one's lock still, until it has become its program.
                Err(ServiceError::AlreadyRunning { .. }) if Instant::now() < deadline => {
                    thread::yield_now();
                }
                outcome => break outcome.unwrap(),
            }
        };
        drop(entered);
        let (stop, stopped) = oneshot::channel();
        let serve = move || runtime.block_on(service.run(async { drop(stopped.await) }));
        Self {
            hub,
            stop: Some(stop),
            thread: Some(thread::spawn(serve)),
        }
    }
}

impl Drop for Running {
    /// Returns when the service has ended and its socket is gone.
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

/// A client for one program.
pub(crate) struct Client {
    name: String,
    folder: TempDir,
    service: Option<Running>,
    flood: Option<Flood>,
    impostor: Option<Impostor>,
    gate: Option<GateRegistration>,
}

type Flood = (Arc<AtomicBool>, JoinHandle<()>);

impl Client {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Every user may come in.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let mut client = Self {
            name: name.to_owned(),
            folder,
            service: None,
            flood: None,
            impostor: None,
            gate: None,
        };
        client.serve();
        client
    }

    /// Runs the program, which must end well and leave no registration; what it says besides its requests.
    pub(crate) fn host(self, program: &Path, arguments: &[&str], port: Option<u16>) -> Vec<String> {
        self.host_command(Command::new(program).args(arguments), port)
    }

    /// The same for a command that runs the program.
    pub(crate) fn host_command(mut self, command: &mut Command, port: Option<u16>) -> Vec<String> {
        if let (Some(port), Some(service)) = (port, &self.service) {
            service.hub.publish(port);
        }
        let mut child = command
            .env("LD_LIBRARY_PATH", prefix().join("lib"))
            .env("TEREDO_SOCKET", self.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut said = Vec::new();
        for line in BufReader::new(stdout).lines() {
            let line = line.unwrap();
            match line.strip_prefix("? ") {
                Some(request) => {
                    self.act(request);
                    // It may have ended; its status tells.
                    let _ = stdin.write_all(b"done\n");
                }
                None => said.push(line),
            }
        }
        let mut errors = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        let status = child.wait().unwrap();
        assert!(
            status.success() && errors.is_empty(),
            "{}, {command:?}: {status}\n{errors}",
            self.name
        );
        if let Some(service) = &self.service {
            let deadline = Instant::now() + Duration::from_secs(10);
            while service.hub.registrations() > 0 {
                assert!(
                    Instant::now() < deadline,
                    "{} is registered still",
                    self.name
                );
                thread::yield_now();
            }
        }
        said
    }

    /// Where the client is reached.
    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn act(&mut self, request: &str) {
        match request.split_once(' ').unwrap_or((request, "")) {
            ("publish", port) => {
                let service = self.service.as_ref().expect("the service runs");
                service.hub.publish(port.parse().unwrap());
            }
            ("flood", _) => self.flood = Some(self.begin_flood()),
            ("calm", _) => {
                let (stop, thread) = self.flood.take().expect("there is a flood");
                stop.store(true, Ordering::Relaxed);
                thread.join().unwrap();
            }
            ("stop", _) => self.service = None,
            ("start", _) => self.serve(),
            ("file", _) => std::fs::write(self.cleared(), "no socket").unwrap(),
            ("rude", _) => self.answer(|_| false),
            ("mute", _) => self.answer(|_| true),
            ("later", _) => self.impostor = Some(Impostor::later(&self.cleared())),
            ("nonsense", number) => {
                let number = number.parse().unwrap();
                self.impostor = Some(Impostor::mad(&self.cleared(), number));
            }
            ("lapse", number) => {
                let number = number.parse().unwrap();
                self.impostor = Some(Impostor::lapsing(&self.cleared(), number));
            }
            ("speak", _) => self.impostor().speak(),
            ("gabble", _) => self.impostor().gabble(),
            ("stranger", _) => {
                let path = self.cleared();
                self.folder_is(None, 0o1777);
                self.impostor = Some(Impostor::stranger(&path));
            }
            ("tenant", _) => {
                let path = self.cleared();
                self.folder_is(Some(NOBODY), 0o755);
                self.impostor = Some(Impostor::stranger(&path));
            }
            ("gate", _) => {
                let service = self.service.as_ref().expect("the service runs");
                self.gate = Some(service.hub.register_gate(GateOwner::default()).unwrap());
            }
            ("held", _) => {
                let hub = &self.service.as_ref().expect("the service runs").hub;
                assert!(!hub.is_settled(hub.snapshot().sequence));
            }
            ("settle", _) => {
                let hub = &self.service.as_ref().expect("the service runs").hub;
                let gate = self.gate.take().expect("there is a gate");
                gate.settle(hub.snapshot().sequence).unwrap();
                self.wait(|hub| hub.is_settled(hub.snapshot().sequence));
            }
            ("settled", _) => self.wait(|hub| hub.is_settled(hub.snapshot().sequence)),
            ("gates", number) => {
                let number: usize = number.parse().unwrap();
                self.wait(|hub| hub.gates().len() == number);
                let hub = &self.service.as_ref().expect("the service runs").hub;
                for gate in hub.gates() {
                    assert!(gate.owner.pid.is_some() && gate.owner.command.is_some());
                }
            }
            other => panic!("no such request: {other:?}"),
        }
    }

    /// Waits until this holds of the hub.
    fn wait(&self, condition: impl Fn(&Hub) -> bool) {
        let hub = &self.service.as_ref().expect("the service runs").hub;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(hub) {
            assert!(Instant::now() < deadline, "{}: in vain", self.name);
            thread::yield_now();
        }
    }

    fn serve(&mut self) {
        self.cleared();
        self.service = Some(Running::start(&self.socket()));
    }

    /// Announces one port after the other; 65535 as the last one.
    fn begin_flood(&self) -> Flood {
        let hub = self.service.as_ref().expect("the service runs").hub.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for port in (0..=60_000).cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                hub.publish(port);
                thread::yield_now();
            }
            hub.publish(65_535);
        });
        (stop, thread)
    }

    /// The socket's path, with nothing there.
    fn cleared(&mut self) -> PathBuf {
        self.service = None;
        self.folder_is(Some(0), 0o755);
        let path = self.socket();
        // Whatever is there, if anything.
        let _ = std::fs::remove_file(&path);
        path
    }

    /// Gives the socket's folder to a user, and this mode.
    fn folder_is(&self, owner: Option<u32>, mode: u32) {
        let folder = self.folder.path();
        // Only root can, and nobody else needs it.
        if owner != Some(0) || rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder, owner, None).expect("this test needs root");
        }
        std::fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
    }

    fn impostor(&self) -> &Impostor {
        self.impostor.as_ref().expect("there is an impostor")
    }

    /// Somebody else listens: does this with every connection, and keeps it open if that is true.
    fn answer(
        &mut self,
        with: impl Fn(&mut std::os::unix::net::UnixStream) -> bool + Send + 'static,
    ) {
        let listener = UnixListener::bind(self.cleared()).unwrap();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if with(&mut stream) {
                    kept.push(stream);
                }
            }
        });
    }
}
