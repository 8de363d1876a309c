//! The firewall's rules among those of others, as the real `nft` shows them and as traffic meets them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use teredo_lab::{Host, NatKind};

use crate::shell::finish;
use crate::world::*;

const DISCOVERY: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 253);

/// The rules of a chain of the agent's own table.
#[track_caller]
fn rules(host: &Host, chain: &str) -> Vec<Value> {
    let listing =
        nft_json(host, &format!("chain inet teredo {chain}")).expect("the agent's own table");
    let items = listing["nftables"].as_array().unwrap();
    items
        .iter()
        .filter_map(|item| item.get("rule"))
        .cloned()
        .collect()
}

/// A rule as `nft` writes it for people.
fn text(rule: &Value) -> String {
    let words = rule["expr"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|expression| {
            let (kind, value) = expression.as_object().unwrap().iter().next().unwrap();
            Some(match kind.as_str() {
                "counter" => return None,
                "match" => format!("{} {}", operand(&value["left"]), operand(&value["right"])),
                "goto" => format!("goto {}", value["target"].as_str().unwrap()),
                verdict => verdict.to_owned(),
            })
        });
    words.collect::<Vec<_>>().join(" ")
}

fn operand(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(operand).collect::<Vec<_>>().join(","),
        Value::Object(_) if value.get("set").is_some() => operand(&value["set"]),
        Value::Object(_) if value.get("concat").is_some() => operand(&value["concat"]),
        Value::Object(_) if value.get("payload").is_some() => {
            format!(
                "{} {}",
                operand(&value["payload"]["protocol"]),
                operand(&value["payload"]["field"])
            )
        }
        Value::Object(_) if value.get("ct").is_some() => {
            format!("ct {}", operand(&value["ct"]["key"]))
        }
        Value::Object(_) if value.get("meta").is_some() => operand(&value["meta"]["key"]),
        other => other.to_string(),
    }
}

/// The packets that a rule has counted.
#[track_caller]
fn packets(host: &Host, chain: &str, rule: &str) -> u64 {
    let rules = rules(host, chain);
    let found = rules
        .iter()
        .find(|found| text(found) == rule)
        .unwrap_or_else(|| panic!("no rule '{rule}' in {rules:#?}"));
    let mut expressions = found["expr"].as_array().unwrap().iter();
    expressions
        .find_map(|expression| expression["counter"]["packets"].as_u64())
        .expect("a rule that counts")
}

#[track_caller]
fn listen(host: &Host, port: u16) -> TcpListener {
    host.namespace()
        .run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))
        .unwrap()
        .unwrap()
}

fn connect(host: &Host, to: Ipv6Addr, port: u16, timeout: Duration) -> std::io::Result<TcpStream> {
    let to = SocketAddr::from((to, port));
    host.namespace()
        .run(|| TcpStream::connect_timeout(&to, timeout))
        .unwrap()
}

/// Sends something there and something back.
#[track_caller]
fn converse(mut one: TcpStream, listener: &TcpListener) {
    let (mut other, _) = listener.accept().unwrap();
    let say = |from: &mut TcpStream, to: &mut TcpStream| {
        from.write_all(b"hello").unwrap();
        to.set_read_timeout(Some(SECOND * 5)).unwrap();
        let mut heard = [0; 5];
        to.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    };
    say(&mut one, &mut other);
    say(&mut other, &mut one);
}

/// An agent that must fail with this exit code, and say all of this.
#[track_caller]
pub(crate) fn agent_fails(host: &Host, arguments: &[&str], code: i32, words: &[&str]) {
    let mut command = teredo();
    // Nobody's socket: the agent does not come as far as that.
    command.args(["firewall", "--socket", "/nonexistent/teredo.sock"]);
    let answer = finish(host, command.args(arguments));
    assert_eq!(
        (answer.code, &answer.stdout[..]),
        (Some(code), ""),
        "{answer:?}"
    );
    for word in words {
        assert!(answer.stderr.contains(word), "no '{word}' in {answer:?}");
    }
}

/// F-1, F-2, F-3, F-5, F-6: the rules of the agent's own table, and that traffic meets them.
#[test]
fn the_own_table_has_the_rules_that_teredo_needs() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let neighbour = world.left.host("anna").unwrap();
    let agent = world.agent(
        &host,
        &["--allow-inbound", "22/tcp", "--allow-inbound", "5004/udp"],
    );
    agent.wait_for_line("follows the port", SECOND * 5).unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });

    let texts = |chain| rules(&host, chain).iter().map(text).collect::<Vec<_>>();
    assert_eq!(
        texts("input"),
        [
            "iifname @tunnels goto inside",
            "iifgroup 3544 goto inside",
            "iifgroup 3545 goto inside",
            "udp sport 3544 udp dport @port accept",
            "udp dport @port accept",
            "ip daddr 224.0.0.253 udp dport 3544 accept",
            "ip protocol igmp accept",
        ]
    );
    assert_eq!(
        texts("output"),
        [
            "udp sport @port udp dport 3544 accept",
            "udp sport @port accept",
            "ip protocol igmp accept"
        ]
    );
    assert_eq!(
        texts("forward"),
        [
            "iifname @closed_forward goto inside",
            "iifgroup 3544 goto inside"
        ]
    );
    assert_eq!(
        texts("inside"),
        [
            "ct state established,related accept",
            "icmpv6 type destination-unreachable,packet-too-big,time-exceeded,parameter-problem,echo-request,\
             echo-reply,nd-router-solicit,nd-router-advert,nd-neighbor-solicit,nd-neighbor-advert accept",
            "l4proto,th dport @allowed accept",
            "drop",
        ]
    );
    assert_eq!(ports(&host, OWN_SET), [u64::from(port)]);
    assert_eq!(elements(&host, "inet teredo allowed").unwrap().len(), 2);

    // It qualified with the agent there, so its solicitation and the answer were counted.
    assert!(packets(&host, "output", "udp sport @port udp dport 3544 accept") > 0);
    assert!(packets(&host, "input", "udp sport 3544 udp dport @port accept") > 0);
    // The client looks for its neighbours (RFC 4380 §5.2.8).
    eventually(SECOND * 5, "a membership report", || {
        packets(&host, "output", "ip protocol igmp accept") > 0
    });
    neighbour
        .udp_socket((neighbour.ipv4(), 0))
        .unwrap()
        .send_to(b"hello", (DISCOVERY, 3544))
        .unwrap();
    eventually(SECOND, "a datagram for the discovery group", || {
        packets(&host, "input", "ip daddr 224.0.0.253 udp dport 3544 accept") > 0
    });

    let next = alice.connect().rebind(None).unwrap();
    assert!(next.settled);
    assert_eq!(ports(&host, OWN_SET), [u64::from(next.port)]);
    alice.connect().stop().unwrap();
    assert_eq!(
        elements(&host, OWN_SET),
        Some(vec![]),
        "closed where there is no port"
    );
}

/// F-5, F-6, R6169-4.3-01: nobody comes in through the tunnel unasked, but for echo requests and what the
/// administrator allows; whom this host has asked may answer.
#[test]
fn the_inside_of_the_tunnel_is_closed_but_for_what_is_allowed() {
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let agent = world.agent(&alice_host, &["--allow-inbound", "22/tcp"]);
    agent.wait_for_line("follows the port", SECOND * 5).unwrap();
    let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
    let (alice_address, bob_address) = (alice.address(), bob.address());
    let (open, closed, bobs) = (
        listen(&alice_host, 22),
        listen(&alice_host, 23),
        listen(&bob_host, 23),
    );

    let echo = teredo_lab::ping(&bob_host, alice_address, 3, SECOND * 5).unwrap();
    assert!(echo.are_all_in_order(3), "{echo:?}");
    assert_eq!(packets(&alice_host, "inside", "drop"), 0);

    let refused = connect(&bob_host, alice_address, 23, Duration::from_millis(300)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    assert!(packets(&alice_host, "inside", "drop") > 0);
    converse(
        connect(&bob_host, alice_address, 22, SECOND * 5).unwrap(),
        &open,
    );
    closed.set_nonblocking(true).unwrap();
    let nobody = closed.accept().expect_err("nobody may connect to port 23");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);

    converse(
        connect(&alice_host, bob_address, 23, SECOND * 5).unwrap(),
        &bobs,
    );
}

/// F-2, F-6: after a foreign flush of everything, the block and the port are back within 20 ms, and the tunnel goes on.
/// A saved ruleset loads while agent and client run.
#[test]
fn a_foreign_flush_is_put_right_and_a_saved_ruleset_loads() {
    for arguments in [&[][..], &["--set", SET]] {
        let (world, _server) = World::with_server();
        let (alice_host, bob_host) = (
            world.left.host("alice").unwrap(),
            world.right.host("bob").unwrap(),
        );
        if !arguments.is_empty() {
            nft(&alice_host, DEFAULT_DROP);
        }
        let set = if arguments.is_empty() { OWN_SET } else { SET };
        let _agent = world.agent(&alice_host, arguments);
        let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
        let (address, _) = (alice.address(), bob.address());
        alice.until(SECOND, "a firewall in step", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
        let port = [u64::from(alice.status().port)];
        let _listener = listen(&alice_host, 22);

        // As the issue has it: (echo flush ruleset; nft list ruleset) > f; nft -f f.
        let file = world.path("saved.nft");
        let listed = run(&alice_host, Command::new("nft").args(["list", "ruleset"]));
        let saved = String::from_utf8(listed.stdout).unwrap();
        std::fs::write(
            &file,
            format!("flush ruleset\n{saved}\ntable inet changed {{ }}\n"),
        )
        .unwrap();
        let restored = run(&alice_host, Command::new("nft").arg("-f").arg(&file));
        assert!(
            restored.status.success(),
            "{}",
            String::from_utf8_lossy(&restored.stderr)
        );
        assert!(nft_json(&alice_host, "table inet changed").is_some());
        eventually(SECOND, "the port", || ports(&alice_host, set) == port);

        if arguments.is_empty() {
            nft(&alice_host, "flush ruleset");
            eventually(SECOND, "the port", || ports(&alice_host, set) == port);
        }
        let refused = connect(&bob_host, address, 22, Duration::from_millis(300)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
        assert!(packets(&alice_host, "inside", "drop") > 0);
        let next = alice.connect().rebind(None).unwrap();
        assert!(next.settled);
        assert_eq!(ports(&alice_host, set), [u64::from(next.port)]);
    }
}

/// F-6: the client alone, with `--protect`: a stranger's SYN is dropped until a command removes the block, even if a
/// process dies. An agent opens ports in it, and its end closes them.
#[test]
fn the_inside_is_closed_whichever_process_dies() {
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let mut alice = world.client(&alice_host, &["--protect"]);
    let bob = world.client(&bob_host, &[]);
    let (mut address, _) = (alice.address(), bob.address());
    let open = listen(&alice_host, 22);
    let _closed = listen(&alice_host, 23);
    let is_closed = |address, port| {
        let refused = connect(&bob_host, address, port, Duration::from_millis(300)).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::TimedOut,
            "port {port}: {refused}"
        );
    };
    is_closed(address, 22);
    assert!(alice.status().problems.is_empty(), "{:?}", alice.status());

    // A flush does not last, without any agent.
    nft(&alice_host, "flush ruleset");
    alice.until(SECOND, "a protected interface", |status| {
        status.protected == Some(true)
    });
    is_closed(address, 22);

    for ends in [Signal::TERM, Signal::KILL] {
        let arguments = ["--allow-inbound", "22/tcp", "--lease", "2"];
        let agent = world.agent(&alice_host, &arguments);
        alice.until(SECOND * 5, "a firewall in step", |status| {
            status.firewall.iter().any(|gate| gate.in_sync)
        });
        converse(connect(&bob_host, address, 22, SECOND * 5).unwrap(), &open);
        // It ends nothing.
        agent.signal(Signal::HUP).unwrap();
        agent
            .wait_for_line("no setting has changed", SECOND)
            .unwrap();
        is_closed(address, 23);
        agent.signal(ends).unwrap();
        eventually(SECOND * 3, "the end of the exceptions", || {
            elements(&alice_host, "inet teredo allowed") == Some(vec![])
        });
        is_closed(address, 22);
        is_closed(address, 23);
    }

    // The client dies, and comes back without being told to protect: the block is still there.
    alice.restart(&alice_host, &["--server", "192.0.2.45"]);
    address = alice.address();
    is_closed(address, 22);
    let removed = finish(&alice_host, teredo().args(["firewall", "--remove"]));
    assert_eq!(removed.code, Some(0), "{removed:?}");
    converse(connect(&bob_host, address, 22, SECOND * 5).unwrap(), &open);
    let status = alice.status();
    assert_eq!(status.protected, Some(false));
    assert!(
        status.problems[0].contains("no firewall closes the inside of the tunnel"),
        "{:?}",
        status.problems
    );
}

/// A client that is to protect does not come up without: no interface, no service.
#[test]
fn a_client_that_cannot_protect_stays_down() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(
        &host,
        "table inet teredo { chain mine { tcp dport 22 accept; }; }",
    );
    let before = nft_json(&host, "table inet teredo");
    let mut command = teredo();
    let socket = world.path("alice.sock");
    command.arg("--socket").arg(&socket);
    let answer = finish(
        &host,
        command.args(["client", "--server", "192.0.2.45", "--protect"]),
    );
    answer.fails(1, "does not carry this program's mark");
    assert_eq!(
        crate::shell::traces(&host),
        [const { Vec::<String>::new() }; 3]
    );
    agent_fails(
        &host,
        &[],
        1,
        &["does not carry this program's mark", "\nhint: rename it"],
    );
    assert_eq!(nft_json(&host, "table inet teredo"), before);
    let kept = finish(&host, teredo().args(["firewall", "--remove"]));
    kept.fails(1, "does not carry this program's mark");
}

/// F-6: the agent closes the interface that the client names, and nothing but the truth is in step.
#[test]
fn the_agent_follows_the_interface_of_the_client() {
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let _agent = world.agent(&alice_host, &[]);
    let alice = world.client(&alice_host, &["--interface", "t0"]);
    let bob = world.client(&bob_host, &[]);
    let (address, _) = (alice.address(), bob.address());
    let _listener = listen(&alice_host, 22);
    let refused = connect(&bob_host, address, 22, Duration::from_millis(300)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    let status = alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    assert!(status.firewall[0].protects.contains(&"t0".to_owned()));
    assert_eq!(status.protected, Some(true));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
}

/// Datagrams that another table drops: not in sync, with the chain and the next step, whether it is seen by the ruleset
/// alone or by the datagrams.
#[test]
fn a_shadowed_exception_is_not_in_sync() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let neighbour = world.left.host("anna").unwrap();
    let _agent = world.agent(&host, &[]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let in_sync =
        |status: &teredo_notify::types::Status| status.firewall.iter().any(|gate| gate.in_sync);
    alice.until(SECOND * 2, "a firewall in step", in_sync);
    for (table, named) in [
        (
            "table inet other { chain in { type filter hook input priority 0; policy drop; ct state established accept; }; }",
            "'inet other in' (policy drop)",
        ),
        (
            "table inet other { chain in { type filter hook input priority 0; ct state established accept; iifname lo accept; reject; }; }",
            "'inet other in'",
        ),
    ] {
        nft(&host, table);
        let status = alice.until(SECOND * 2, "a firewall out of step", |status| {
            !in_sync(status)
        });
        assert!(status.problems[0].contains(named), "{:?}", status.problems);
        let shown = crate::shell::ask(&host, &alice, &["status"]).stdout;
        let first = shown.lines().nth(1).unwrap();
        assert!(
            first.contains("Problem: ") && first.contains(named),
            "{shown}"
        );
        nft(&host, "delete table inet other");
        alice.until(SECOND * 2, "a firewall in step again", in_sync);
    }
    // Only some rule drops: the datagrams show it.
    nft(
        &host,
        &format!(
            "table ip raw {{ chain in {{ type filter hook input priority 0; udp dport {port} ct state new drop; }}; }}"
        ),
    );
    let stranger = neighbour.udp_socket((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    for _ in 0..5 {
        stranger
            .send_to(b"anybody there?", (host.ipv4(), port))
            .unwrap();
    }
    let status = alice.until(SECOND * 3, "a firewall out of step", |status| {
        !in_sync(status)
    });
    assert!(
        status.problems[0].contains("datagrams for the port arrived and none passed"),
        "{:?}",
        status.problems
    );
    nft(&host, "delete table ip raw");
    stranger
        .send_to(b"anybody there?", (host.ipv4(), port))
        .unwrap();
    alice.until(SECOND * 3, "a firewall in step again", in_sync);
}

/// If the settings name a firewall that is not active, the log and the status say so: only the agent's table opens the
/// port.
#[test]
fn a_backend_that_is_absent_is_told() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let alice = world.client(&host, &[]);
    alice.qualified();
    for name in ["firewalld", "ufw"] {
        let agent = world.agent(&host, &["--backend", name]);
        let line = format!("{name} is not active: the table 'inet teredo' alone opens the port");
        agent.wait_for_line(&line, SECOND * 5).unwrap();
        let words = format!("nftables alone: {name} is not active");
        alice.until(SECOND * 5, "the agent's way", |status| {
            let ways = status
                .firewall
                .iter()
                .filter_map(|gate| gate.backend.as_deref());
            ways.into_iter().any(|way| way == words)
        });
        agent.terminate(SECOND * 5).unwrap();
    }
}

/// A set that is gone, or of another type, after a reload: the confirmation is withdrawn, and given again.
#[test]
fn a_set_that_is_lost_is_not_in_sync() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    alice.qualified();
    let in_sync =
        |status: &teredo_notify::types::Status| status.firewall.iter().any(|gate| gate.in_sync);
    for (ruleset, reason) in [
        ("flush ruleset".to_owned(), "does not exist"),
        (
            format!(
                "flush ruleset; {}",
                DEFAULT_DROP
                    .replace(
                        "type inet_service; flags timeout;",
                        "type ipv4_addr; flags timeout;"
                    )
                    .replace(
                        "udp dport @teredo_ports accept",
                        "ip saddr @teredo_ports accept"
                    )
                    .replace(
                        "udp sport @teredo_ports accept",
                        "ip saddr @teredo_ports accept"
                    )
            ),
            "is not of type inet_service",
        ),
    ] {
        alice.until(SECOND * 2, "a firewall in step", in_sync);
        nft(&host, &ruleset);
        let status = alice.until(SECOND, "a firewall out of step", |status| !in_sync(status));
        assert!(status.problems[0].contains(reason), "{:?}", status.problems);
        assert_eq!(status.protected, Some(true));
        nft(&host, &format!("flush ruleset; {DEFAULT_DROP}"));
    }
    alice.until(SECOND * 2, "a firewall in step", in_sync);
}

/// Several nodes on one host: one agent follows them all.
#[test]
fn one_agent_follows_several_clients() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let other = world.path("other.sock");
    let other_text = other.to_str().unwrap();
    let _agent = world.agent(&host, &["--follow", other_text]);
    let alice = world.client(&host, &[]);
    let second = start(
        &host,
        "second",
        &[
            "client",
            "--socket",
            other_text,
            "--server",
            "192.0.2.45",
            "--interface",
            "t1",
            "--no-default-route",
            "--no-local-discovery",
        ],
    );
    let second = Client {
        process: second,
        socket: other,
    };
    let both = [alice.qualified().port, second.qualified().port];
    eventually(SECOND, "both ports", || {
        let mut open = ports(&host, OWN_SET);
        open.sort_unstable();
        let mut both = both.map(u64::from);
        both.sort_unstable();
        open == both
    });
    for client in [&alice, &second] {
        client.until(SECOND, "a firewall in step", |status| {
            status.protected == Some(true) && status.firewall.iter().any(|gate| gate.in_sync)
        });
    }
    second.process.kill().unwrap();
    eventually(SECOND, "the end of its port", || {
        ports(&host, OWN_SET) == [u64::from(both[0])]
    });
}

/// F-6: with an agent, a relay's host is closed, and what the relay forwards is not. Strangers' datagrams to its port take
/// no entries of the table of connections.
#[test]
fn an_agent_protects_the_relays_host_and_not_what_it_forwards() {
    const STRANGERS: u16 = 200;

    let world = World::dual_stack(NatKind::PortRestricted);
    let relay_host = world.relay_host(Ipv4Addr::new(192, 0, 2, 99));
    let native_address = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
    let native = world.native(native_address);
    let _server = world.serve();
    let _agent = world.agent(&relay_host, &[]);
    let relay = world.relay(&relay_host, &[]);
    let status = relay.until(SECOND * 2, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    assert_eq!(status.protected, Some(true));
    assert!(status.problems.is_empty(), "{:?}", status.problems);

    let alice_host = world.left.host("alice").unwrap();
    let alice = world.client(&alice_host, &[]);
    alice.qualified();
    let web = listen(&native, 80);
    converse(
        connect(&alice_host, native_address, 80, SECOND * 5).unwrap(),
        &web,
    );
    // The relay's own address is no one's to come in by.
    let _closed = listen(&relay_host, 22);
    let own = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
    let refused = connect(&alice_host, own, 22, Duration::from_millis(500)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    assert!(packets(&relay_host, "inside", "drop") > 0);

    let connections = || {
        let count = relay_host
            .namespace()
            .run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
        let count = count.unwrap().unwrap();
        count.trim().parse::<u32>().unwrap()
    };
    let crowd = world
        .internet
        .host("crowd", &[Ipv4Addr::new(198, 51, 100, 99)])
        .unwrap();
    let before = connections();
    let received = || relay.status().counters.rx_packets;
    let first = received();
    for number in 0..STRANGERS {
        let socket = crowd
            .udp_socket((Ipv4Addr::new(198, 51, 100, 99), 10_000 + number))
            .unwrap();
        socket
            .send_to(&[0x60; 48], (relay_host.ipv4(), RELAY_PORT))
            .unwrap();
    }
    eventually(SECOND * 5, "the strangers' datagrams", || {
        received() >= first + u64::from(STRANGERS)
    });
    let after = connections();
    assert!(
        after < before + u32::from(STRANGERS) / 10,
        "{before} entries became {after}"
    );
}

/// The client of another network namespace at the same socket gets no port opened here, and no confirmation.
#[test]
fn a_client_of_another_namespace_is_refused() {
    let (world, _server) = World::with_server();
    let (host, other) = (
        world.left.host("alice").unwrap(),
        world.left.host("anna").unwrap(),
    );
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    let socket = alice.socket.to_str().unwrap();
    let agent = start(&other, "agent", &["firewall", "--socket", socket]);
    agent
        .wait_for_line(
            "runs in another network namespace than this firewall",
            SECOND * 5,
        )
        .unwrap();
    alice
        .process
        .wait_for_line(
            "refused a firewall that runs in another network namespace",
            SECOND,
        )
        .unwrap();
    assert!(ports(&other, OWN_SET).is_empty());
    let status = alice.status();
    assert!(status.firewall.is_empty() && status.port == port);
}
