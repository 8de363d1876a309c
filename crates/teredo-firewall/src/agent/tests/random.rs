//! Random ports at the real service, in the real kernel.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use teredo_notify::RandomPorts;
use teredo_notify::hub::{Admission, Hub};
use teredo_notify::service::{Config, EventBus, ReadOnly, Service};
use teredo_notify::watcher::GatingSubscriber;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// The administrator's set with a rule that looks in it: without one, the agent has trouble as soon as it looks.
const RULESET: &str = "table inet filter { set teredo_ports { type inet_service; flags timeout; }; \
    chain input { type filter hook input priority 0; udp dport @teredo_ports accept; }; }";
/// The set is full with the port and one more.
const FULL: &str = "table inet filter { set teredo_ports { type inet_service; flags timeout; size 2; }; \
    chain input { type filter hook input priority 0; udp dport @teredo_ports accept; }; }";
/// A set of another type has its name, and a rule looks in it.
const UNFIT: &str = "table inet filter { set teredo_ports { type ipv4_addr; flags timeout; }; \
    chain input { type filter hook input priority 0; ip saddr @teredo_ports accept; }; }";

/// A client's hub and service, and an agent that follows it.
struct Followed {
    hub: Hub,
    service: JoinHandle<()>,
    agent: JoinHandle<Result<(), AgentError>>,
    set: &'static str,
    _folder: TempDir,
}

impl Followed {
    /// With the service port 4500 in the firewall.
    async fn start(config: AgentConfig) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = Config::new(folder.path().join("teredo.sock"));
        let hub = Hub::new();
        let events = EventBus::new(hub.clone());
        let service = Service::bind(&socket, hub.clone(), events, Arc::new(ReadOnly::default()));
        let gate = GatingSubscriber::new(&socket.path).with_random_ports();
        let set = set_of(&config);
        let agent = Agent::new(config).expect("the agent starts");
        let this = Self {
            service: tokio::spawn(service.expect("the service listens").run(pending())),
            agent: tokio::spawn(agent.run(gate, pending::<()>())),
            hub,
            set,
            _folder: folder,
        };
        eventually("the agent gates", LIMIT, || this.hub.gates().len() == 1).await;
        let sequence = this.hub.publish(4500);
        let settled = timeout(LIMIT, this.hub.settled(sequence)).await;
        settled.expect("the agent confirms");
        this
    }

    fn announce(&self, ports: &[u16]) -> u64 {
        self.hub
            .publish_random(RandomPorts::try_from(ports).unwrap())
    }

    /// Announces random ports, and waits for the firewall's answer.
    async fn ask(&self, ports: &[u16]) -> Admission {
        let sequence = self.announce(ports);
        eventually("the firewall answers", LIMIT, || {
            self.hub.admission(sequence) != Admission::Pending
        })
        .await;
        self.hub.admission(sequence)
    }

    async fn has(&self, ports: &[u64]) {
        let open = || {
            let mut open = nft::ports(self.set);
            open.sort_unstable();
            open
        };
        eventually("the ports are open", LIMIT, || open() == ports).await;
    }

    async fn stop(self) {
        self.service.abort();
        self.agent.abort();
        assert!(self.agent.await.is_err_and(|error| error.is_cancelled()));
    }
}

/// F-2, N-16: in both modes random ports are leases like the port, confirmed when the kernel has them; they close when
/// they are closed, with the port, and with the client.
#[test]
fn random_ports_are_leases_like_the_port() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(RULESET);
            let node = Followed::start(config).await;
            for ports in [
                vec![50_001],
                vec![50_001, 50_002],
                (50_001..50_033).collect(),
            ] {
                assert_eq!(node.ask(&ports).await, Admission::Admitted);
                let open = nft::ports(node.set);
                let wanted = ports.iter().chain(&[4500]);
                assert!(
                    wanted
                        .into_iter()
                        .all(|port| open.contains(&u64::from(*port)))
                );
                assert_eq!(open.len(), ports.len() + 1);
                let leased = |element: &Value| element["elem"]["timeout"] == 15;
                assert!(nft::elements(node.set).iter().all(leased));
            }
            node.announce(&[50_002]);
            node.has(&[4500, 50_002]).await;
            node.hub.publish(0);
            node.has(&[]).await;
            node.hub.publish(4501);
            node.has(&[4501, 50_002]).await;
            // As if the client was killed.
            node.service.abort();
            node.has(&[]).await;
            node.stop().await;
        });
    }
}

/// F-2: a set without room for random ports costs the client these, and not its port.
#[test]
fn random_ports_never_cost_the_port() {
    Namespace::new().run_async(move || async move {
        nft::run(FULL);
        let node = Followed::start(with_set()).await;
        assert_eq!(node.ask(&[50_001, 50_002]).await, Admission::Refused);
        node.has(&[4500]).await;
        let gate = node.hub.gates().remove(0);
        assert!(gate.in_sync && gate.random_trouble.is_some(), "{gate:?}");
        // The client closes them, and tries again later.
        node.announce(&[]);
        eventually("the refusal is over", LIMIT, || {
            node.hub.gates()[0].random_trouble.is_none()
        })
        .await;
        assert_eq!(node.ask(&[50_002]).await, Admission::Admitted);
        node.has(&[4500, 50_002]).await;
        node.stop().await;
    });
}

/// N-16: while the kernel refuses the port, a change of the random ports confirms neither, also if none are left.
#[test]
fn no_change_of_random_ports_confirms_a_port_that_is_closed() {
    Namespace::new().run_async(move || async move {
        nft::run(RULESET);
        let node = Followed::start(with_set()).await;
        nft::run("delete table inet filter");
        nft::run(UNFIT);
        let sequence = node.hub.publish(4501);
        for ports in [&[50_001][..], &[]] {
            node.announce(ports);
            // Two looks of the agent.
            let settled = timeout(2 * BEAT + BEAT / 2, node.hub.settled(sequence)).await;
            assert!(settled.is_err(), "{settled:?}");
        }
        nft::run("delete table inet filter");
        nft::run(RULESET);
        let settled = timeout(LIMIT, node.hub.settled(sequence)).await;
        settled.expect("the agent confirms");
        node.has(&[4501]).await;
        node.stop().await;
    });
}

/// N-16: as long as others drop what comes for the port, random ports are not confirmed either.
#[test]
fn random_ports_are_refused_while_others_drop() {
    Namespace::new().run_async(move || async move {
        nft::run(
            "table inet strict { chain input { type filter hook input priority 0; policy drop; }; }",
        );
        let node = Followed::start(AgentConfig::default()).await;
        eventually("the agent has trouble", LIMIT, || {
            node.hub.gates()[0].trouble.is_some()
        })
        .await;
        let sequence = node.announce(&[50_001]);
        // The kernel has it.
        node.has(&[4500, 50_001]).await;
        // Two looks of the agent.
        let looks = timeout(2 * BEAT + BEAT / 2, pending::<()>());
        assert!(looks.await.is_err());
        assert_eq!(node.hub.admission(sequence), Admission::Refused);
        node.stop().await;
    });
}

/// A service that says what it likes.
struct Liar {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Liar {
    async fn names(&mut self, sequence: u64, ports: &[u16]) {
        let state = json!({ "continues": true, "parameters": {
            "subscription": 1, "sequence": 1, "kind": "change", "port": 4500,
            "random": { "sequence": sequence, "ports": ports },
        } });
        let mut message = state.to_string().into_bytes();
        message.push(0);
        self.stream.write_all(&message).await.unwrap();
    }

    /// Waits for a call of the agent that is such.
    async fn hears(&mut self, is_such: impl Fn(&Value) -> bool) {
        let search = async {
            loop {
                while let Some(end) = self.heard.iter().position(|byte| *byte == 0) {
                    let rest = self.heard.split_off(end + 1);
                    let call = serde_json::from_slice(&self.heard[..end]).unwrap();
                    self.heard = rest;
                    if is_such(&call) {
                        return;
                    }
                }
                assert_ne!(self.stream.read_buf(&mut self.heard).await.unwrap(), 0);
            }
        };
        timeout(LIMIT, search).await.expect("the agent says so");
    }
}

/// The agent has more privilege than the client that it follows: it opens no port of a service as a random one, keeps the
/// client's own port, and says what it thinks of that client.
#[test]
fn a_random_port_that_no_client_draws_is_not_opened() {
    Namespace::new().run_async(move || async move {
        nft::run(RULESET);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teredo.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let config = with_set();
        let set = set_of(&config);
        let agent = Agent::new(config).unwrap();
        let mut status = agent.status();
        let gate = GatingSubscriber::new(&path).with_random_ports();
        let agent = tokio::spawn(agent.run(gate, pending::<()>()));
        let (stream, _) = listener.accept().await.unwrap();
        let mut liar = Liar {
            stream,
            heard: Vec::new(),
        };
        let has = async |ports: &[u64]| {
            let open = || {
                let mut open = nft::ports(set);
                open.sort_unstable();
                open
            };
            eventually("the ports are open", LIMIT, || open() == ports).await;
        };
        let trouble = |call: &Value| call["parameters"]["random_trouble"].clone();
        liar.names(1, &[50_001]).await;
        has(&[4500, 50_001]).await;
        for (round, port) in [(1, 22), (2, 3544), (3, 49_151)] {
            liar.names(1 + round, &[50_001, port]).await;
            let words = format!(
                "port {port} is none of 49152 to 65535, from which a client draws its random ports: the client may have \
                 been taken over"
            );
            let says_so = |call: &Value| {
                let trouble = trouble(call);
                trouble == words.as_str()
            };
            liar.hears(says_so).await;
            has(&[4500]).await;
            let counted = |status: &AgentStatus| status.random_refusals == round;
            timeout(LIMIT, status.wait_for(counted))
                .await
                .unwrap()
                .unwrap();
        }
        liar.names(5, &[50_002]).await;
        liar.hears(|call| call["parameters"]["random"] == 5).await;
        has(&[4500, 50_002]).await;
        liar.hears(|call| call["method"] == "io.teredo.Client.Report" && trouble(call).is_null())
            .await;
        assert!(!agent.is_finished());
        agent.abort();
    });
}
