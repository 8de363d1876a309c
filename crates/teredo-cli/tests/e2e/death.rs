//! How everybody behaves when somebody dies, is stopped, or comes back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use teredo_lab::Host;
use teredo_notify::Kind;
use teredo_notify::mib::MibNotificationType;
use teredo_notify::types::Phase;

use crate::shell::{ask, traces};
use crate::subscriber::{MibSubscriber, Monitor, Subscriber, Varlink, event};
use crate::world::*;

const SERVER_ARGUMENTS: [&str; 2] = ["--server", "192.0.2.45"];

#[track_caller]
fn nothing_is_left(host: &Host) {
    assert_eq!(
        traces(host),
        [const { Vec::<String>::new() }; 3],
        "what is left of the tunnel"
    );
}

/// N-05, F-6: a firewall agent is killed: the block stays, the exception goes with its lease, and the client goes on.
#[test]
fn a_killed_agent_leaves_the_block_and_no_exception() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let agent = world.agent(&host, &["--lease", "2"]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    eventually(SECOND, "the port in the agent's table", || {
        ports(&host, OWN_SET) == [u64::from(port)]
    });
    agent.kill().unwrap();
    alice.until(SECOND, "the end of the gate", |status| {
        status.firewall.is_empty()
    });
    eventually(SECOND * 3, "the end of the exception", || {
        ports(&host, OWN_SET).is_empty()
    });
    assert!(nft_json(&host, "chain inet teredo inside").is_some());
    assert_eq!(alice.status().protected, Some(true));

    // Nobody is left to wait for.
    let outcome = alice.connect().rebind(None).unwrap();
    assert!(outcome.settled, "{outcome:?}");
    alice.qualified();
}

/// N-16: the first port is gated, too, if the folder of the service did not exist when the agent started, and if it is
/// made anew, as systemd does with a RuntimeDirectory.
#[test]
fn the_first_port_is_gated_in_a_folder_that_is_made_anew() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let folder = world.path("run");
    let socket = folder.join("teredo.sock");
    let text = socket.to_str().unwrap();
    let agent = start(
        &host,
        "agent",
        &["firewall", "--socket", text, "--set", SET],
    );
    agent.wait_for_line("follows the port", SECOND * 5).unwrap();
    for round in 0..7 {
        let process = start(
            &host,
            "client",
            &["client", "--socket", text, "--server", "192.0.2.45"],
        );
        let client = Client {
            process,
            socket: socket.clone(),
        };
        client.qualified();
        assert_eq!(counted(&host, "dropped_out"), 0, "round {round}");
        client.process.kill().unwrap();
        eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// A firewall that hangs beyond its lease is not in sync, although the port is the one that it confirmed.
#[test]
fn a_firewall_that_hangs_beyond_its_lease_is_not_in_sync() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let agent = world.agent(&host, &["--lease", "2"]);
    let alice = world.client(&host, &[]);
    alice.qualified();
    let in_sync =
        |status: &teredo_notify::types::Status| status.firewall.iter().any(|gate| gate.in_sync);
    alice.until(SECOND * 2, "a firewall in step", in_sync);
    agent.signal(Signal::STOP).unwrap();
    let status = alice.until(SECOND * 5, "a firewall out of step", |status| {
        !in_sync(status)
    });
    assert!(
        status.problems[0].contains("it hangs"),
        "{:?}",
        status.problems
    );
    assert_eq!(status.protected, Some(true), "the block stays");
    agent.signal(Signal::CONT).unwrap();
    alice.until(SECOND * 3, "a firewall in step again", in_sync);
}

/// F-2: a firewall agent is killed: the port in the administrator's set closes when its lease ends.
#[test]
fn a_killed_agents_port_closes_with_the_lease() {
    const LEASE: Duration = Duration::from_secs(2);
    /// The kernel counts in clock ticks, and `nft` takes a moment to look.
    const ROUNDING: Duration = Duration::from_millis(100);

    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let neighbour = world.left.host("anna").unwrap();
    let stranger = neighbour.udp_socket((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    nft(&host, DEFAULT_DROP);
    let agent = world.agent(&host, &["--set", SET, "--lease", "2"]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);

    let killed = Instant::now();
    agent.kill().unwrap();
    eventually(LEASE + ROUNDING, "an empty set", || {
        open_ports(&host).is_empty()
    });
    assert!(
        killed.elapsed() <= LEASE + ROUNDING * 2,
        "the set is empty after {:?}",
        killed.elapsed()
    );

    let dropped = counted(&host, "dropped_in");
    stranger
        .send_to(b"anybody there?", (host.ipv4(), port))
        .unwrap();
    eventually(SECOND, "the stranger's datagram at the drop rule", || {
        counted(&host, "dropped_in") > dropped
    });
}

/// F-2: the lease is of 15 s unless told otherwise, and renewed in time without a moment in which the port is closed.
#[test]
fn the_lease_is_renewed_before_it_ends() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;

    let mut least = u64::MAX;
    eventually(SECOND * 8, "a renewal", || {
        let elements = elements(&host, SET).unwrap();
        let [element] = &elements[..] else {
            panic!("the set holds {elements:?}")
        };
        let element = &element["elem"];
        assert_eq!(
            (element["val"].as_u64(), element["timeout"].as_u64()),
            (Some(port.into()), Some(15)),
            "{element}"
        );
        let expires = element["expires"].as_u64().expect("seconds");
        least = least.min(expires);
        expires > least
    });
    assert!(
        (9..=10).contains(&least),
        "renewed when {least} s of the lease were left"
    );
}

/// N-11, N-15: the client is killed, and everybody knows within a second, however he follows the port. Nothing
/// stale is left, and what is left does not stop the next client, of which all registrations learn by themselves.
#[test]
fn a_killed_client_is_gone_for_everybody_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let socket = world.path("alice.sock");
    let (mib, watcher) = (MibSubscriber::new(&socket), Subscriber::new(&socket));
    let mut alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(
        mib.next(SECOND),
        (0, MibNotificationType::InitialNotification)
    );
    assert_eq!(mib.next(SECOND), (port, MibNotificationType::AddInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Add, port));
    let mut varlink = Varlink::subscribe(&socket);
    let mut monitor = Monitor::start(&host, &alice);
    assert_eq!(open_ports(&host), [u64::from(port)]);
    assert!(
        traces(&host).iter().all(|trace| !trace.is_empty()),
        "{:?}",
        traces(&host)
    );

    let killed = Instant::now();
    alice.process.kill().unwrap();
    assert_eq!(mib.next(SECOND), (0, MibNotificationType::DeleteInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    assert_eq!(varlink.next(), None);
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    nothing_is_left(&host);
    assert!(
        killed.elapsed() < SECOND,
        "all know after {:?}",
        killed.elapsed()
    );
    assert!(mib.functions.get_teredo_port().is_err());
    ask(&host, &alice, &["port"]).fails(5, "cannot connect to ");

    assert!(socket.exists(), "nobody was left to remove it");
    alice.restart(&host, &SERVER_ARGUMENTS);
    let port = alice.qualified().port;
    assert_eq!(mib.next(SECOND), (port, MibNotificationType::AddInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Add, port));
    assert_eq!(monitor.next(SECOND), event("add", port));
    assert_eq!(mib.functions.get_teredo_port(), Ok(port));
    assert_eq!(open_ports(&host), [u64::from(port)]);
}

/// N-11: the client is asked to end, and does so in order: everybody hears of it from the client itself, the firewall
/// closes, and nothing is left.
#[test]
fn a_terminated_client_says_goodbye() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);
    let (mib, watcher) = (
        MibSubscriber::new(&alice.socket),
        Subscriber::new(&alice.socket),
    );
    assert_eq!(
        mib.next(SECOND),
        (0, MibNotificationType::InitialNotification)
    );
    let mut monitor = Monitor::start(&host, &alice);
    // One would get its event by luck.
    let mut many: Vec<_> = (0..100)
        .map(|_| Varlink::subscribe(&alice.socket))
        .collect();

    let asked = Instant::now();
    let status = alice.process.terminate(SECOND).unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    for varlink in &mut many {
        let last = varlink
            .next()
            .expect("an event before the end of the connection");
        assert_eq!(
            (&last["kind"], &last["port"]),
            (&json!("delete"), &json!(0)),
            "{last}"
        );
        assert_eq!(varlink.next(), None);
    }
    assert_eq!(mib.next(SECOND), (0, MibNotificationType::DeleteInstance));
    assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
    assert_eq!(monitor.next(SECOND), event("delete", 0));
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    nothing_is_left(&host);
    assert!(!alice.socket.exists(), "the socket is left");
    assert!(
        asked.elapsed() < SECOND,
        "all know after {:?}",
        asked.elapsed()
    );
}

/// N-15: both are killed, and come back in either order: a second after the second one all is as before, without
/// anybody registering again.
#[test]
fn client_and_agent_find_each_other_again_in_either_order() {
    for (arguments, set) in [(&["--set", SET][..], SET), (&[], OWN_SET)] {
        let (world, _server) = World::with_server();
        let host = world.left.host("alice").unwrap();
        if set == SET {
            nft(&host, DEFAULT_DROP);
        }
        let mut agent = world.agent(&host, arguments);
        let mut alice = world.client(&host, &[]);
        let port = alice.qualified().port;
        let (watcher, mut monitor) = (
            Subscriber::new(&alice.socket),
            Monitor::start(&host, &alice),
        );
        eventually(SECOND, "the port in the set", || {
            ports(&host, set) == [u64::from(port)]
        });

        for client_first in [true, false, true] {
            agent.kill().unwrap();
            alice.process.kill().unwrap();
            assert_eq!(watcher.next(SECOND), (Kind::Delete, 0));
            assert_eq!(monitor.next(SECOND), event("delete", 0));
            let second = if client_first {
                alice.restart(&host, &SERVER_ARGUMENTS);
                alice.until(SECOND * 5, "a client with a port", |status| {
                    status.port != 0
                });
                let second = Instant::now();
                agent = world.agent(&host, arguments);
                second
            } else {
                agent = world.agent(&host, arguments);
                agent.wait_for_line("follows the port", SECOND * 5).unwrap();
                let second = Instant::now();
                alice.restart(&host, &SERVER_ARGUMENTS);
                second
            };
            let status = alice.until(
                SECOND,
                "a qualified client and a firewall in step",
                |status| {
                    status.state == Phase::Qualified
                        && status.firewall.iter().any(|gate| gate.in_sync)
                },
            );
            assert_eq!(ports(&host, set), [u64::from(status.port)]);
            assert_eq!(watcher.next(SECOND), (Kind::Add, status.port));
            assert_eq!(monitor.next(SECOND), event("add", status.port));
            let took = second.elapsed();
            assert!(
                took < SECOND,
                "{set}, client first: {client_first}: right again after {took:?}"
            );
        }
    }
}

/// N-01, N-13, N-15: a subscriber learns of every end and every start of the client, in order, of none twice.
#[test]
fn ten_restarts_are_ten_deletes_and_ten_adds() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut alice = world.client(&host, &[]);
    alice.qualified();
    let (watcher, mut monitor) = (
        Subscriber::new(&alice.socket),
        Monitor::start(&host, &alice),
    );
    for round in 0..10 {
        if round % 2 == 0 {
            alice.process.kill().unwrap();
        } else {
            alice.process.terminate(SECOND).unwrap();
        }
        assert_eq!(watcher.next(SECOND), (Kind::Delete, 0), "round {round}");
        assert_eq!(monitor.next(SECOND), event("delete", 0), "round {round}");
        alice.restart(&host, &SERVER_ARGUMENTS);
        let (kind, port) = watcher.next(SECOND * 5);
        assert_eq!(
            (kind, port),
            (Kind::Add, alice.status().port),
            "round {round}"
        );
        assert_eq!(monitor.next(SECOND), event("add", port), "round {round}");
    }
}

/// N-14, N-16: a firewall that hangs is waited for no longer than its deadline, named, and counted; when it is back
/// it opens the port that is in use then, and no other.
#[test]
fn a_firewall_that_hangs_is_left_behind_and_catches_up() {
    const DEADLINE: Duration = Duration::from_millis(250);

    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });

    agent.signal(Signal::STOP).unwrap();
    for missed in 1..=2 {
        let asked = Instant::now();
        let outcome = alice.connect().rebind(None).unwrap();
        let took = asked.elapsed();
        assert!(!outcome.settled, "{outcome:?}");
        assert!(
            (DEADLINE..DEADLINE * 2).contains(&took),
            "the client waited for {took:?}"
        );
        let status = alice.status();
        assert_eq!(status.port, outcome.port);
        let [gate] = &status.firewall[..] else {
            panic!("{:?}", status.firewall)
        };
        assert_eq!(
            (gate.in_sync, gate.missed, gate.pid),
            (false, missed, Some(agent.id())),
            "{gate:?}"
        );
        alice
            .process
            .wait_for_line("has not confirmed the port in time", SECOND)
            .unwrap();
    }
    assert_eq!(
        open_ports(&host),
        [u64::from(first)],
        "nobody else touches the set"
    );
    let narrated = ask(&host, &alice, &["rebind"]);
    let last = narrated.port();
    assert!(
        narrated
            .stderr
            .contains("a firewall did not confirm the change in time"),
        "{narrated:?}"
    );

    let resumed = Instant::now();
    agent.signal(Signal::CONT).unwrap();
    let status = alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    assert_eq!(open_ports(&host), [u64::from(last)]);
    assert_eq!((status.port, status.firewall[0].missed), (last, 3));
    alice.until(SECOND, "a qualified client", |status| {
        status.state == Phase::Qualified
    });
    assert!(
        resumed.elapsed() < SECOND,
        "right again after {:?}",
        resumed.elapsed()
    );
}

/// N-11: however many follow the port, and although no firewall has to be waited for, nobody is cut off before he has
/// heard of the end.
#[test]
fn a_terminated_client_cuts_nobody_off() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    alice.qualified();
    let mut many: Vec<_> = (0..500)
        .map(|_| Varlink::subscribe(&alice.socket))
        .collect();
    alice.process.terminate(SECOND).unwrap();
    let told = many
        .iter_mut()
        .filter_map(Varlink::next)
        .filter(|last| last["kind"] == "delete")
        .count();
    assert_eq!(told, many.len(), "subscribers told of the end");
}

/// N-11: subscribers hear that the port is gone before the service is, although the node ended by itself.
#[test]
fn a_deleted_interface_ends_the_port_before_the_service() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    for round in 0..5 {
        let alice = world.client(&host, &[]);
        alice.qualified();
        let mut varlink = Varlink::subscribe(&alice.socket);
        let mut delete = std::process::Command::new("ip");
        let output = run(&host, delete.args(["link", "delete", "teredo"]));
        assert!(output.status.success(), "{output:?}");
        let kinds: Vec<_> = std::iter::from_fn(|| varlink.next())
            .map(|reply| reply["kind"].clone())
            .collect();
        assert_eq!(kinds.last(), Some(&json!("delete")), "round {round}");
        alice.process.wait_for_line("was deleted", SECOND).unwrap();
    }
}
