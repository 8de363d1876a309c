//! Users who take what they can get from the service (N-14, N-18): in processes of their own, at a service with few
//! descriptors. Needs root, to be other users.

#[path = "support/service.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use support::{Running, SOON, as_user, folder, wait_until};
use teredo_notify::call::Caller;
use teredo_notify::service::Config;

/// More connections than the service has descriptors.
const GREED: usize = 1_100;
const DESCRIPTORS: u64 = 1_024;
const AT_ONCE: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, path] = &arguments[..]
        && let Some(first) = role.strip_prefix("--take=")
    {
        take(Path::new(path), first);
        return;
    }
    let hard = getrlimit(Resource::Nofile).maximum;
    for maximum in [hard, Some(DESCRIPTORS)] {
        let limit = Rlimit {
            current: Some(DESCRIPTORS),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        everybody_is_served(maximum);
    }
    silent_peers_end();
}

/// Connects as often as it can, says `first` on each, and holds them until its input ends.
fn take(path: &Path, first: &str) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut held = Vec::new();
    for _ in 0..GREED {
        if let Ok(mut stream) = UnixStream::connect(path) {
            // The service may have closed it.
            if !first.is_empty() {
                let _ = stream.write_all(format!("{first}\0").as_bytes());
            }
            held.push(stream);
        }
    }
    println!("taken");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A user's process that takes connections; ends when it is dropped.
struct Greedy(Child);

impl Greedy {
    fn start(uid: u32, path: &Path, first: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(format!("--take={first}")).arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(
            command
                .uid(uid)
                .gid(uid)
                .spawn()
                .expect("this test needs root"),
        )
    }

    fn has_taken(&mut self) {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "taken\n");
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Four users take what they get, idle or subscribed: root and another user are served at once.
fn everybody_is_served(maximum: Option<u64>) {
    let subscribe = "{\"method\":\"io.teredo.Client.Subscribe\",\"more\":true,\
                     \"parameters\":{\"initial\":true,\"gate\":false}}";
    for first in ["", subscribe] {
        let folder = folder();
        let service = Running::start(&folder.path().join("s"));
        service.hub.publish(10);
        let mut greedy: Vec<_> = (65_530..65_534)
            .map(|uid| Greedy::start(uid, service.path(), first))
            .collect();
        greedy.iter_mut().for_each(Greedy::has_taken);

        let begun = Instant::now();
        let open = || Caller::open(service.path()).unwrap();
        assert_eq!(open().get_status().unwrap().port, 10);
        assert_eq!(open().rebind(Some(30_000)).unwrap().port, 30_000);
        let mut agent = service.connect();
        let gate = agent.call(
            &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
            "parameters": { "initial": true, "gate": true } }),
        );
        assert_eq!(gate["parameters"]["port"], 30_000);
        drop(agent);
        wait_until("the gate has gone", || service.hub.gates().is_empty());
        let port = as_user(65_529, 65_529, || open().get_port().unwrap());
        assert_eq!(port, 30_000);
        assert_eq!(open().stop().unwrap().port, 0);
        let took = begun.elapsed();
        assert!(
            took < AT_ONCE,
            "at most {maximum:?} descriptors, {first:?}: {took:?}"
        );
        drop(greedy);
    }
}

/// A connection without a call ends, and so does one whose replies are not read; a subscription and root's stay.
fn silent_peers_end() {
    let folder = folder();
    let config = Config {
        silence: Duration::from_millis(100),
        ..Config::new(folder.path().join("s"))
    };
    let service = Running::try_start(&config).unwrap();
    let mut kept = service.connect();
    as_user(65_534, 65_534, || {
        let mut silent = service.connect();
        let mut half = service.connect();
        half.send_bytes(b"{\"method\":");
        let mut subscriber = service.connect();
        subscriber.call(
            &json!({ "method": "io.teredo.Client.Subscribe", "more": true,
            "parameters": { "initial": true, "gate": false } }),
        );
        assert_eq!(silent.receive(), None, "without a call");
        assert_eq!(half.receive(), None, "with half a call");
        service.hub.publish(10);
        assert_eq!(subscriber.receive().unwrap()["parameters"]["port"], 10);

        let mut unread = service.connect();
        let call = json!({ "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": { "interface": "io.teredo.Client" } });
        unread.send_bytes(format!("{call}\0").repeat(500).as_bytes());
        let deadline = Instant::now() + SOON;
        while unread.0.write_all(b"\0").is_ok() {
            assert!(Instant::now() < deadline, "unread replies are kept");
            std::thread::yield_now();
        }
    });
    let port = kept.call(&json!({ "method": "io.teredo.Client.GetPort" }));
    assert_eq!(port["parameters"]["port"], 10, "root may take its time");
}
