//! The firewall's rules among those of others, as the real `nft` shows them and as traffic meets them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use teredo_lab::Host;

use crate::shell::finish;
use crate::world::*;

const DISCOVERY: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 253);
const CHAINS: [&str; 4] = ["input", "output", "forward", "inside"];

/// The objects of the agent's own table, without what its counters have counted.
///
/// Piece by piece: nft 1.0.6 writes broken JSON for a whole table that has an owner.
#[track_caller]
fn own_table(host: &Host) -> Vec<Value> {
    let lists = CHAINS.map(|chain| format!("chain inet teredo {chain}"));
    let lists = lists.into_iter().chain([format!("set {OWN_SET}")]);
    let mut listings: Vec<Value> = lists
        .map(|list| nft_json(host, &list).expect("the agent's own table"))
        .collect();
    for listing in &mut listings {
        for item in listing["nftables"].as_array_mut().unwrap() {
            for expression in item["rule"]["expr"].as_array_mut().into_iter().flatten() {
                expression.as_object_mut().unwrap().remove("counter");
            }
        }
    }
    listings
}

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

/// A foreign command that must fail.
#[track_caller]
fn nft_is_refused(host: &Host, command: &str) {
    let output = run(host, Command::new("nft").arg(command));
    assert!(!output.status.success(), "nft {command}");
}

/// An agent that must fail with this exit code, and say all of this.
#[track_caller]
fn agent_fails(host: &Host, arguments: &[&str], code: i32, words: &[&str]) {
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
            "iifname teredo goto inside",
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
    assert_eq!(texts("forward"), ["iifname teredo goto inside"]);
    assert_eq!(
        texts("inside"),
        [
            "ct state established,related accept",
            "icmpv6 type destination-unreachable,packet-too-big,time-exceeded,parameter-problem,echo-request,\
             echo-reply,nd-router-solicit,nd-router-advert,nd-neighbor-solicit,nd-neighbor-advert accept",
            "tcp dport 22 accept",
            "udp dport 5004 accept",
            "drop",
        ]
    );
    // Without a lease: the kernel ties the whole table to the agent's life.
    assert_eq!(elements(&host, OWN_SET), Some(vec![port.into()]));

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
    assert_eq!(elements(&host, OWN_SET), Some(vec![next.port.into()]));
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

/// A foreign flush of everything does not touch the agent's own table: it is the same down to its handles, and it
/// goes on to filter.
#[test]
fn a_foreign_flush_does_not_reach_the_own_table() {
    let (world, _server) = World::with_server();
    let (alice_host, bob_host) = (
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    );
    let agent = world.agent(&alice_host, &[]);
    let (alice, bob) = (world.client(&alice_host, &[]), world.client(&bob_host, &[]));
    let (address, _) = (alice.address(), bob.address());
    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    let stranger = bob_host.udp_socket((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let is_dropped = || {
        let before = packets(&alice_host, "inside", "drop");
        stranger
            .send_to(b"anybody there?", (address, 7000))
            .unwrap();
        eventually(SECOND * 5, "a datagram at the drop rule", || {
            packets(&alice_host, "inside", "drop") > before
        });
    };
    is_dropped();

    nft(&alice_host, "add table inet other");
    let before = own_table(&alice_host);
    for foreign in [
        "flush ruleset",
        "flush ruleset inet",
        "flush ruleset; add table inet other",
    ] {
        nft(&alice_host, foreign);
        assert_eq!(own_table(&alice_host), before, "after {foreign}");
    }
    nft(&alice_host, "flush ruleset");
    assert!(
        nft_json(&alice_host, "table inet other").is_none(),
        "the flush did its work"
    );
    for foreign in [
        "delete table inet teredo",
        "flush chain inet teredo inside",
        "flush set inet teredo port",
    ] {
        nft_is_refused(&alice_host, foreign);
        assert_eq!(own_table(&alice_host), before, "after {foreign}");
    }
    is_dropped();

    // Its owner still can.
    let next = alice.connect().rebind(None).unwrap();
    assert!(next.settled, "{:#?}", agent.lines());
    assert_eq!(ports(&alice_host, OWN_SET), [u64::from(next.port)]);
}

/// N-16: the administrator's set is filled again within a second of its return, however it went, and the tunnel
/// comes through.
#[test]
fn a_set_that_returns_is_filled_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    // It need not be there at the start either.
    let agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = [u64::from(alice.qualified().port)];
    agent
        .wait_for_line("waits for its set", SECOND * 5)
        .unwrap();

    let reload = format!("flush ruleset; {DEFAULT_DROP}");
    let returns = |how: &str| {
        nft(&host, how);
        let returned = Instant::now();
        eventually(SECOND, "the port in the set", || open_ports(&host) == port);
        assert!(
            returned.elapsed() < SECOND,
            "after {how}: {:?}",
            returned.elapsed()
        );
    };
    returns(DEFAULT_DROP);
    // In one transaction, as `nft -f` does it, several times in a row.
    for _ in 0..10 {
        nft(&host, &reload);
    }
    returns(&reload);
    // Gone for a while: until the agent has noticed.
    let mark = agent.mark();
    nft(&host, "flush ruleset");
    agent
        .wait_for_line_after(mark, "waits for its set", SECOND)
        .unwrap();
    returns(DEFAULT_DROP);
    nft(&host, "delete table inet filter");
    returns(DEFAULT_DROP);

    alice.until(SECOND, "a firewall in step", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    let next = alice.connect().rebind(None).unwrap();
    assert!(next.settled);
    assert_eq!(open_ports(&host), [u64::from(next.port)]);
    alice.qualified();
    assert_eq!(counted(&host, "dropped_out"), 0);
}

/// F-2: the set holds the port and nothing else, whatever others put into it or take out of it.
#[test]
fn what_others_do_to_the_set_is_put_right_within_a_second() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, DEFAULT_DROP);
    let _agent = world.agent(&host, &["--set", SET]);
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(open_ports(&host), [u64::from(port)]);

    let is_right = || {
        let elements = elements(&host, SET).unwrap();
        let [element] = &elements[..] else {
            return false;
        };
        element["elem"]["val"] == port && element["elem"]["timeout"] == 15
    };
    for foreign in [
        format!("add element {SET} {{ 9 }}"),
        format!("add element {SET} {{ 53 timeout 1h, 123, 1900 }}"),
        format!("delete element {SET} {{ {port} }}"),
        format!("flush set {SET}"),
        format!("delete element {SET} {{ {port} }}; add element {SET} {{ 9 }}"),
        // The port is the same, but would outlive the agent.
        format!("delete element {SET} {{ {port} }}; add element {SET} {{ {port} }}"),
        format!("delete element {SET} {{ {port} }}; add element {SET} {{ {port} timeout 1d }}"),
    ] {
        nft(&host, &foreign);
        let done = Instant::now();
        eventually(
            SECOND,
            &format!("the set put right after '{foreign}'"),
            is_right,
        );
        assert!(
            done.elapsed() < SECOND,
            "after '{foreign}': {:?}",
            done.elapsed()
        );
    }
    alice.qualified();
}

/// A set that cannot do what it is for is refused with the reason and the way out, and nothing is left behind.
#[test]
fn an_unfit_set_is_refused_with_the_reason() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let instead = "it must be declared as '{ type inet_service; flags timeout; }'";
    for (declaration, reason) in [
        (
            "set inet filter unfit { type ipv4_addr; flags timeout; }",
            "is not of type inet_service",
        ),
        (
            "set inet filter unfit { type inet_service . ipv4_addr; flags timeout; }",
            "is not of type inet_service",
        ),
        (
            "set inet filter unfit { type inet_service; flags interval, timeout; }",
            "has the flag interval",
        ),
        (
            "set inet filter unfit { type inet_service; flags constant; elements = { 9 }; }",
            "has the flag constant",
        ),
        (
            "map inet filter unfit { type inet_service : ipv4_addr; }",
            "is a map",
        ),
    ] {
        nft(
            &host,
            &format!("flush ruleset; add table inet filter; add {declaration}"),
        );
        let line =
            format!("the firewall cannot follow the port: the set 'inet filter unfit' {reason}");
        let hint = "\nhint: replace it: 'nft delete set inet filter unfit'";
        agent_fails(
            &host,
            &["--set", "inet filter unfit"],
            1,
            &[&line, instead, hint],
        );
        assert!(
            nft_json(&host, "chain inet teredo inside").is_none(),
            "after {declaration}"
        );
    }
    for (argument, words) in [
        (
            "filter teredo_ports",
            "expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'",
        ),
        (
            "inet filter teredo_ports more",
            "expected 'FAMILY TABLE SET', for example 'inet filter teredo_ports'",
        ),
        ("", "'--set"),
        ("inet6 filter teredo_ports", "'inet6'"),
    ] {
        agent_fails(&host, &["--set", argument], 2, &[words]);
    }
    for exception in ["ssh", "22", "0/tcp", "65536/tcp", "22/icmp"] {
        let said = format!("'{exception}'");
        agent_fails(
            &host,
            &["--allow-inbound", exception],
            2,
            &["--allow-inbound", &said],
        );
    }
}

/// A set without timeouts does its work, and what it lacks is said.
#[test]
fn a_set_without_timeouts_is_used_with_a_warning() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(&host, &DEFAULT_DROP.replace("flags timeout;", ""));
    let agent = world.agent(&host, &["--set", SET]);
    agent
        .wait_for_line(
            "the set has no 'flags timeout': if the agent is killed, the port stays open",
            SECOND * 5,
        )
        .unwrap();
    let alice = world.client(&host, &[]);
    let port = alice.qualified().port;
    assert_eq!(elements(&host, SET), Some(vec![port.into()]));
    alice.process.kill().unwrap();
    eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
    agent.terminate(SECOND).unwrap();
}

/// One agent serves a host: the second names the first, and changes nothing.
#[test]
fn a_second_agent_is_refused() {
    for arguments in [&[][..], &["--set", SET]] {
        let (world, _server) = World::with_server();
        let host = world.left.host("alice").unwrap();
        nft(&host, DEFAULT_DROP);
        let first = world.agent(&host, arguments);
        first.wait_for_line("follows the port", SECOND * 5).unwrap();
        let owner = format!(
            "belongs to another program with netlink port {}",
            first.id()
        );
        let words = [
            "the table 'inet teredo'",
            &owner,
            "another firewall agent is running",
            "\nhint: ",
        ];
        agent_fails(&host, arguments, 1, &words);
        assert!(
            nft_json(&host, "chain inet teredo inside").is_some(),
            "the first one's table"
        );
        assert_eq!(first.try_wait().unwrap(), None, "the first one goes on");

        let status = first.terminate(SECOND * 5).unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        let third = world.agent(&host, arguments);
        third.wait_for_line("follows the port", SECOND * 5).unwrap();
    }
}
