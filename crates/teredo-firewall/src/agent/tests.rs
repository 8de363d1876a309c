use std::convert::Infallible;

use rustix::thread::gettid;
use teredo_nft::{Batch, Family, Netlink, TableFlags, TableName};
use teredo_notify::{Snapshot, snapshot::Node, types::Role};
use tokio::{sync::mpsc, task::JoinHandle};

use super::*;
use crate::{
    config::Target,
    nft_program as nft,
    testing::{Namespace, OPENINGS, counted, drop_net_admin, eventually, ip},
};

mod random;
mod renewals;

const SET: &str = "teredo_ports";
const PATH: &str = "inet filter teredo_ports";
const DECLARATION: &str =
    "table inet filter { set teredo_ports { type inet_service; flags timeout; }; }";
const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(10);

/// A source that a test speaks through.
struct Script {
    states: mpsc::UnboundedReceiver<Snapshot>,
    settled: mpsc::UnboundedSender<Settled>,
    set: &'static str,
    node: Node,
}

/// A confirmation, and what the kernel had in its set when it was made.
#[derive(Debug, PartialEq, Eq)]
struct Settled {
    sequence: u64,
    ports: Vec<u64>,
}

impl PortSource for Script {
    type Error = Infallible;

    async fn next(&mut self) -> Result<Snapshot, Infallible> {
        match self.states.recv().await {
            Some(state) => Ok(state),
            None => pending().await,
        }
    }

    async fn settle(&mut self, sequence: u64) {
        // The receiver is gone only if the test is.
        drop(self.settled.send(Settled {
            sequence,
            ports: nft::ports(self.set),
        }));
    }

    fn node(&self) -> Node {
        self.node.clone()
    }
}

/// An agent in a task, and the other ends of what it is connected to.
struct Running {
    agent: JoinHandle<Result<(), AgentError>>,
    states: mpsc::UnboundedSender<Snapshot>,
    settled: mpsc::UnboundedReceiver<Settled>,
    status: watch::Receiver<AgentStatus>,
    stop: mpsc::Sender<()>,
    sequence: u64,
}

impl Running {
    fn start(config: AgentConfig) -> Self {
        Self::start_with(config, Node::default())
    }

    fn start_with(config: AgentConfig, node: Node) -> Self {
        let set = set_of(&config);
        let agent = Agent::new(config).expect("the agent starts");
        let status = agent.status();
        let (states, receive_states) = mpsc::unbounded_channel();
        let (send_settled, settled) = mpsc::unbounded_channel();
        let (stop, mut stopped) = mpsc::channel(1);
        let source = Script {
            states: receive_states,
            settled: send_settled,
            set,
            node,
        };
        let shutdown = async move {
            stopped.recv().await;
        };
        Self {
            agent: tokio::spawn(agent.run(source, shutdown)),
            states,
            settled,
            status,
            stop,
            sequence: 0,
        }
    }

    fn announce(&mut self, port: u16) {
        self.sequence += 1;
        self.states
            .send(Snapshot {
                sequence: self.sequence,
                port,
            })
            .expect("the agent listens");
    }

    /// Announces a port and waits for the confirmation.
    async fn follow(&mut self, port: u16) -> Settled {
        self.announce(port);
        let settled = self.settled.recv().await.expect("the agent lives");
        assert_eq!(settled.sequence, self.sequence);
        settled
    }

    async fn status(&mut self, condition: impl FnMut(&AgentStatus) -> bool) -> AgentStatus {
        let status = timeout(LIMIT, self.status.wait_for(condition))
            .await
            .expect("the status comes in time");
        status.expect("the agent lives").clone()
    }

    async fn stop(self) {
        drop(self.stop);
        self.agent
            .await
            .expect("the agent does not panic")
            .expect("the agent ends well");
    }

    /// Ends the agent without letting it run again.
    async fn abort(self) {
        self.agent.abort();
        assert!(
            self.agent
                .await
                .expect_err("the task was cancelled")
                .is_cancelled()
        );
    }
}

fn with_set() -> AgentConfig {
    AgentConfig {
        target: Target::AdministratorSet(PATH.parse().expect("a set")),
        ..AgentConfig::default()
    }
}

fn set_of(config: &AgentConfig) -> &'static str {
    match config.target {
        Target::OwnTable => "port",
        Target::AdministratorSet(_) => SET,
    }
}

/// The number of the ruleset's generation after one more change of it.
async fn next_generation() -> u32 {
    let mut monitor = Monitor::open(0).expect("the test may monitor");
    nft::run("add table inet unrelated; delete table inet unrelated");
    let (generation, _) = next_commit(&mut monitor).await;
    generation
}

/// The next transaction, its generation and whose it is.
async fn next_commit(monitor: &mut Monitor) -> (u32, Option<u32>) {
    let change = timeout(LIMIT, monitor.changed()).await;
    match change.expect("a transaction is reported in time") {
        Ok(Change::Committed {
            generation, pid, ..
        }) => (generation, pid),
        other => panic!("the transaction is not reported: {other:?}"),
    }
}

fn held(port: u16) -> Vec<u64> {
    (port != 0).then_some(u64::from(port)).into_iter().collect()
}

/// F-2, N-16: in both modes a state is confirmed when the kernel has it, and not before.
#[test]
fn a_port_is_confirmed_when_the_kernel_lets_it_through() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let mut agent = Running::start(config);
            for port in [4500, 4501, 0, 4502, 4502] {
                assert_eq!(agent.follow(port).await.ports, held(port));
            }
            let status = agent.status(|status| status.swaps == 4).await;
            assert!(status.in_step && status.port == 4502);
            assert!(status.last_swap.is_some_and(|took| !took.is_zero()));
            assert_eq!((status.resyncs.start, status.resyncs.flush), (1, 0));
            agent.stop().await;
        });
    }
}

/// F-2
#[test]
fn a_swap_is_one_transaction() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let mut agent = Running::start(config);
            agent.follow(4500).await;
            let before = next_generation().await;
            let mut monitor = Monitor::open(0).unwrap();
            agent.follow(4501).await;
            let (generation, pid) = next_commit(&mut monitor).await;
            assert_eq!(generation, before + 1);
            assert_eq!(pid, Some(gettid().as_raw_nonzero().get().cast_unsigned()));
            agent.stop().await;
        });
    }
}

/// F-2: the lease in the administrator's set is kept beyond its time.
#[test]
fn a_lease_is_renewed() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let (lease, renew) = (Duration::from_secs(2), Duration::from_millis(200));
        let mut agent = Running::start(AgentConfig {
            lease,
            renew,
            ..with_set()
        });
        agent.follow(4500).await;
        let leased = Instant::now();
        assert_eq!(nft::elements(SET)[0]["elem"]["timeout"], 2);

        let mut monitor = Monitor::open(0).unwrap();
        while leased.elapsed() < lease + renew {
            next_commit(&mut monitor).await;
            assert_eq!(nft::ports(SET), [4500]);
        }
        agent.stop().await;
    });
}

/// F-2, F-6: the news of a foreign flush puts block and port right, in both modes, long before a timer would.
#[test]
fn a_foreign_flush_is_put_right_at_once() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let set = set_of(&config);
            let mut agent = Running::start(config);
            agent.follow(4500).await;
            let mut times = Vec::new();
            for _ in 0..20 {
                nft::run(&format!("flush ruleset; {DECLARATION}"));
                let flushed = Instant::now();
                let path: SetPath = if set == "port" {
                    "inet teredo port"
                } else {
                    PATH
                }
                .parse()
                .unwrap();
                let mut netlink = Netlink::open().unwrap();
                eventually("the port is back", SECOND, || {
                    let elements = netlink.elements(&path.table, &path.set).unwrap();
                    elements.is_some_and(|elements| elements.len() == 1)
                        && crate::table::closes(&mut netlink, "teredo", 0, true).unwrap()
                })
                .await;
                times.push(flushed.elapsed());
            }
            times.sort();
            // The machine may be busy in between.
            assert!(times[0] < RETRY / 2, "{times:?}");
            assert_eq!(agent.follow(4501).await.ports, [4501]);
            agent.stop().await;
        });
    }
}

/// F-2: whatever opens the inside of the tunnel, the agent closes it again.
#[test]
fn an_opened_inside_is_closed_again() {
    Namespace::new().run_async(move || async move {
        let mut agent = Running::start(AgentConfig::default());
        agent.follow(4500).await;
        let mut netlink = Netlink::open().unwrap();
        for foreign in OPENINGS {
            nft::run(foreign);
            assert!(
                !crate::table::closes(&mut netlink, "teredo", 0, true).unwrap(),
                "{foreign}"
            );
            eventually(foreign, SECOND, || {
                crate::table::closes(&mut netlink, "teredo", 0, true).unwrap()
            })
            .await;
        }
        agent.stop().await;
    });
}

/// A saved ruleset loads while the agent runs, in both modes, and the administrator's change with it.
#[test]
fn a_saved_ruleset_loads_while_the_agent_runs() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let set = set_of(&config);
            let mut agent = Running::start(config);
            agent.follow(4500).await;
            let saved = nft::ruleset();
            nft::run("add table inet mine");
            nft::run(&format!("flush ruleset\n{saved}\ntable inet changed {{ }}"));
            assert!(nft::ruleset().contains("table inet changed"));
            assert!(!nft::ruleset().contains("table inet mine"));
            eventually("the port is there", SECOND, || nft::ports(set) == [4500]).await;
            agent.follow(4501).await;
            assert_eq!(nft::ports(set), [4501]);
            agent.stop().await;
        });
    }
}

/// F-2: the set is refilled within a second of its return.
#[test]
fn a_flushed_set_is_refilled_when_it_returns() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        nft::run("flush ruleset");
        agent.status(|status| !status.in_step).await;
        nft::run(DECLARATION);
        eventually("the set is refilled", SECOND, || nft::ports(SET) == [4500]).await;
        let status = agent.status(|status| status.in_step).await;
        assert_eq!((status.port, status.swaps), (4500, 2));
        assert!(status.resyncs.flush >= 1);
        agent.stop().await;
    });
}

/// F-2: nft -f of a whole ruleset, which administrators reload with.
#[test]
fn a_reloaded_ruleset_is_refilled() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        nft::run(&format!("flush ruleset; {DECLARATION}"));
        eventually("the set is refilled", SECOND, || nft::ports(SET) == [4500]).await;
        agent.stop().await;
    });
}

/// F-2: what others take from the agent comes back, and what they add stays.
#[test]
fn foreign_changes_of_the_set_are_undone_if_they_are_the_agents() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        nft::run(&format!("add element {PATH} {{ 22, 443 }}"));
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        assert_eq!(nft::ports(SET).len(), 3);
        nft::run(&format!("delete element {PATH} {{ 4500 }}"));
        eventually("the change is undone", SECOND, || {
            nft::ports(SET).contains(&4500)
        })
        .await;
        agent.status(|status| status.resyncs.flush == 1).await;
        nft::run(&format!("add element {PATH} {{ 53 }}"));
        agent.follow(0).await;
        let mut left = nft::ports(SET);
        left.sort_unstable();
        assert_eq!(left, [22, 53, 443]);
        agent.stop().await;
        assert_eq!(nft::ports(SET).len(), 3);
    });
}

#[test]
fn foreign_changes_elsewhere_need_no_repair() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        let mut monitor = Monitor::open(0).unwrap();
        nft::run("add table inet elsewhere");
        next_commit(&mut monitor).await;
        agent.follow(4501).await;
        // The agent's swap is the only other transaction.
        next_commit(&mut monitor).await;
        let status = agent.status(|status| status.swaps == 2).await;
        assert_eq!(status.resyncs.flush, 0);
        agent.stop().await;
    });
}

/// F-2: ENOBUFS is a reason to look, not to fail.
#[test]
fn lost_reports_lead_to_a_resync() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;

        // The agent shares this thread and reads nothing meanwhile.
        let elsewhere = TableName::new(Family::Inet, "elsewhere");
        let mut netlink = Netlink::open().unwrap();
        nft::run(&format!("delete element {PATH} {{ 4500 }}"));
        for _ in 0..1000 {
            let mut batch = Batch::new();
            batch.replace_table(&elsewhere, TableFlags::default());
            netlink.execute(&batch).unwrap();
        }
        agent.status(|status| status.resyncs.enobufs == 1).await;
        eventually("the set is refilled", SECOND, || nft::ports(SET) == [4500]).await;
        agent.stop().await;
    });
}

/// N-16: what could not be done is not confirmed.
#[test]
fn a_state_waits_for_a_missing_set() {
    Namespace::new().run_async(move || async move {
        let mut agent = Running::start(with_set());
        agent.announce(4500);
        agent.status(|status| !status.in_step).await;
        nft::run("add table inet filter");
        nft::run(DECLARATION);
        let settled = timeout(SECOND, agent.settled.recv())
            .await
            .expect("within a second")
            .unwrap();
        assert_eq!(
            settled,
            Settled {
                sequence: 1,
                ports: vec![4500]
            }
        );
        assert_eq!(agent.status(|status| status.in_step).await.refusals, 0);
        agent.stop().await;
    });
}

/// N-16: where there is no set there is no exception, so "no port" is done.
#[test]
fn no_port_needs_no_set() {
    Namespace::new().run_async(move || async move {
        let mut agent = Running::start(with_set());
        assert_eq!(agent.follow(0).await.ports, held(0));
        agent.stop().await;
    });
}

/// N-16: a change that the kernel refuses is not confirmed, and tried again.
#[test]
fn a_refused_change_is_not_confirmed_until_it_succeeds() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        nft::run("flush ruleset; table inet filter { set teredo_ports { type ipv4_addr; }; }");
        agent.announce(4501);
        agent.status(|status| status.refusals >= 2).await;
        assert!(agent.settled.try_recv().is_err());
        nft::run(&format!("flush ruleset; {DECLARATION}"));
        assert_eq!(
            agent.settled.recv().await,
            Some(Settled {
                sequence: 2,
                ports: vec![4501]
            })
        );
        agent.stop().await;
    });
}

/// F-2: a set without timeouts is used nonetheless.
#[test]
fn a_set_without_timeouts_is_used_without_a_lease() {
    Namespace::new().run_async(move || async move {
        nft::run("table inet filter { set teredo_ports { type inet_service; }; }");
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        assert_eq!(nft::ports(SET), [4500]);
        assert!(nft::elements(SET)[0]["elem"].get("timeout").is_none());
        // From then on with a lease, once the set allows it.
        nft::run(&format!("flush ruleset; {DECLARATION}"));
        eventually("the set is refilled with a lease", SECOND, || {
            nft::elements(SET)
                .first()
                .is_some_and(|element| element["elem"]["timeout"] == 15)
        })
        .await;
        agent.stop().await;
    });
}

/// F-2: closed when the client is gone, which the source tells as port 0.
#[test]
fn the_port_is_closed_when_the_client_is_gone() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        let mut agent = Running::start(with_set());
        agent.follow(4500).await;
        agent
            .states
            .send(Snapshot {
                sequence: 1,
                port: 0,
            })
            .unwrap();
        agent.settled.recv().await.unwrap();
        assert!(nft::ports(SET).is_empty());
        agent.stop().await;
    });
}

/// F-2: a restarted agent closes nothing before it knows better.
#[test]
fn what_a_former_agent_left_stays_until_the_first_news() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        nft::run(&format!(
            "add element {PATH} {{ 4500 timeout 1h comment \"teredo\" }}"
        ));
        let started = Instant::now();
        let agent = Running::start(with_set());
        assert_eq!(nft::ports(SET), [4500]);
        eventually("the agent loses its patience", LIMIT, || {
            nft::ports(SET).is_empty()
        })
        .await;
        assert!(started.elapsed() >= FIRST_NEWS_TIMEOUT);
        agent.stop().await;
    });
}

/// F-2, F-6: no exception outlives the agent, and the block does, however the agent ends.
#[test]
fn exceptions_end_with_the_agent_and_the_block_stays() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let set = set_of(&config);
            for stops in [true, false] {
                let mut agent = Running::start(AgentConfig {
                    allow_inbound: vec!["22/tcp".parse().unwrap()],
                    ..config.clone()
                });
                agent.follow(4500).await;
                assert_eq!(nft::elements("allowed").len(), 1);
                if stops {
                    agent.stop().await;
                } else {
                    agent.abort().await;
                }
                assert!(nft::ports(set).is_empty() && nft::ports("port").is_empty());
                assert!(nft::elements("allowed").is_empty());
                assert!(crate::Block::protects("teredo", 0).unwrap());
            }
        });
    }
}

/// F-6: the inside of the tunnel is the agent's in both modes.
#[test]
fn the_inside_of_the_tunnel_is_closed_in_both_modes() {
    for config in [AgentConfig::default(), with_set()] {
        Namespace::new().run_async(move || async move {
            nft::run(DECLARATION);
            let allow_inbound = vec!["22/tcp".parse().unwrap()];
            let agent = Running::start(AgentConfig {
                interface: "t0".to_owned(),
                allow_inbound,
                ..config
            });
            assert_eq!(counted(&["unsolicited", "drop"]), 0);
            assert!(crate::Block::protects("t0", 0).unwrap());
            assert!(nft::ruleset().contains("tcp . 22"));
            agent.stop().await;
        });
    }
}

#[test]
fn a_second_agent_is_told_that_there_is_one() {
    Namespace::new().run_async(move || async move {
        let mut agent = Running::start(AgentConfig::default());
        agent.follow(4500).await;
        let error = Agent::new(AgentConfig::default()).unwrap_err();
        assert!(matches!(error, AgentError::AlreadyRunning { .. }));
        assert!(
            error
                .to_string()
                .ends_with("another firewall agent is running"),
            "{error}"
        );
        assert_eq!(nft::ports("port"), [4500]);
        agent.stop().await;
    });
}

#[test]
fn an_unsuitable_set_is_told_at_the_start() {
    Namespace::new().run_async(move || async move {
        nft::run(
            "table inet filter { set teredo_ports { type ipv4_addr; elements = { 192.0.2.1 } }; }",
        );
        let error = Agent::new(with_set()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the set 'inet filter teredo_ports' is not of type inet_service: \
             it must be declared as '{ type inet_service; flags timeout; }'"
        );
        assert_eq!(
            nft::objects("chain"),
            [] as [serde_json::Value; 0],
            "nothing is left behind"
        );
        assert!(
            nft::ruleset().contains("192.0.2.1"),
            "nothing is taken away"
        );
    });
}

#[test]
fn the_lack_of_permission_is_told() {
    Namespace::new().run_async(move || async move {
        drop_net_admin();
        let error = Agent::new(AgentConfig::default()).unwrap_err();
        assert!(matches!(error, AgentError::NotPermitted));
        assert!(error.to_string().contains("CAP_NET_ADMIN"));
    });
}

struct Failing;

impl PortSource for Failing {
    type Error = std::io::Error;

    async fn next(&mut self) -> Result<Snapshot, Self::Error> {
        Err(std::io::Error::other("nobody knows"))
    }

    async fn settle(&mut self, _sequence: u64) {}
}

/// F-2
#[test]
fn an_agent_without_a_source_takes_everything_back() {
    Namespace::new().run_async(move || async move {
        nft::run(DECLARATION);
        nft::run(&format!(
            "add element {PATH} {{ 4500 timeout 1h comment \"teredo\" }}"
        ));
        let agent = Agent::new(with_set()).unwrap();
        let error = agent.run(Failing, pending()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the firewall agent cannot learn of the port: nobody knows"
        );
        assert!(nft::ports(SET).is_empty());
    });
}

/// A table of the administrator's is refused, with the reason, and left as it is.
#[test]
fn a_table_of_the_administrators_is_refused() {
    Namespace::new().run_async(move || async move {
        nft::run("table inet teredo { chain mine { tcp dport 22 accept; }; }");
        let before = nft::ruleset();
        let error = Agent::new(AgentConfig::default()).unwrap_err();
        assert!(matches!(error, AgentError::ForeignTable(_)), "{error}");
        assert_eq!(nft::ruleset(), before);
    });
}

/// A set in a table of another process is refused: no READY that is not true.
#[test]
fn a_set_that_another_process_owns_is_refused() {
    Namespace::new().run_async(move || async move {
        let filter = TableName::new(Family::Inet, "filter");
        let mut owner = Netlink::open().unwrap();
        let mut batch = Batch::new();
        let ports = teredo_nft::Set::new(SET, teredo_nft::KeyType::INET_SERVICE);
        batch
            .add_table(&filter, TableFlags::OWNER)
            .add_set(&filter, &ports.with_timeouts());
        owner.execute(&batch).unwrap();
        let error = Agent::new(with_set()).unwrap_err();
        assert!(matches!(error, AgentError::OwnedSet { .. }), "{error}");
    });
}

/// Another base chain that drops: the agent says so, names it, and takes that back when it is gone.
#[test]
fn a_chain_of_others_that_drops_is_a_trouble() {
    Namespace::new().run_async(move || async move {
        let mut agent = Running::start(AgentConfig::default());
        agent.follow(4500).await;
        nft::run(
            "table inet other { chain in { type filter hook input priority 0; policy drop; }; }",
        );
        let status = agent.status(|status| status.trouble.is_some()).await;
        let trouble = status.trouble.unwrap();
        assert!(
            trouble.contains("'inet other in' (policy drop)"),
            "{trouble}"
        );
        assert!(status.in_step, "the exception itself is there");
        nft::run("delete table inet other");
        agent.status(|status| status.trouble.is_none()).await;
        agent.stop().await;
    });
}

/// F-6: on a relay the host is closed, and what is forwarded is not, unless the agent is told to.
#[test]
fn what_a_relay_forwards_is_not_closed_unless_told() {
    for told in [false, true] {
        Namespace::new().run_async(move || async move {
            let mut agent = Running::start_with(
                AgentConfig {
                    close_relay_forward: told,
                    ..AgentConfig::default()
                },
                Node {
                    role: Some(Role::Relay),
                    interface: Some("teredo".to_owned()),
                    index: None,
                    kept: false,
                },
            );
            agent.follow(3545).await;
            let closed = |set| !nft::elements(set).is_empty();
            assert!(closed("tunnels"));
            assert_eq!(closed("closed_forward"), told);
            assert_eq!(nft::ports("untracked"), [3545]);
            agent.stop().await;
        });
    }
}

/// F-6: the interface that the node names is closed, whatever the configuration says.
#[test]
fn the_interface_of_the_node_is_closed() {
    Namespace::new().run_async(move || async move {
        let node = Node {
            role: Some(Role::Client),
            interface: Some("t0".to_owned()),
            index: None,
            kept: false,
        };
        let mut agent = Running::start_with(AgentConfig::default(), node);
        agent.follow(4500).await;
        assert!(crate::Block::protects("t0", 0).unwrap());
        assert!(nft::ports("untracked").is_empty());
        agent.stop().await;
    });
}

/// F-6: an interface that is renamed is closed under its new name.
#[test]
fn a_renamed_interface_is_closed() {
    Namespace::new().run_async(move || async move {
        ip("tuntap add dev t0 mode tun");
        ip("link set t0 up");
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let index = rustix::net::netdevice::name_to_index(&socket, "t0").unwrap();
        let node = Node {
            role: Some(Role::Client),
            interface: Some("t0".to_owned()),
            index: Some(index),
            kept: false,
        };
        let mut agent = Running::start_with(AgentConfig::default(), node);
        agent.follow(4500).await;
        ip("link set t0 name t1");
        eventually("the new name is closed", BEAT * 2, || {
            crate::Block::protects("t1", 0).unwrap()
        })
        .await;
        agent.stop().await;
    });
}
