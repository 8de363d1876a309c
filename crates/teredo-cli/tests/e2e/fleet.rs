//! A fleet: a host publishes its port in a bucket of a real NATS server, and a firewall at the perimeter follows it.

mod connection;
mod hostile;
mod servers;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use teredo_lab::NatKind;

use self::servers::{Fleet, SET, elements, endpoints};
use crate::world::*;

/// A lease that tests can wait for.
const LEASE: &str = "3";

/// N-16, rule 1: each port is open at the perimeter before the host sends from it, and closed with its publisher.
#[test]
fn the_perimeter_follows_a_host() {
    let fleet = Fleet::start(&["alice"]);
    let (alice, perimeter) = (&fleet.alice, &fleet.perimeter);
    let firewall = fleet.firewall(&["--network", "192.0.2.0/24"]);
    let publisher = fleet.publish(alice, "alice", &["--lease", LEASE, "--perimeter", "fw"]);
    let client = fleet.world.client(alice, &["--allow-private"]);
    let status = client.qualified();
    let address = alice.ipv4();
    let open = |port: u16| vec![format!("{address}:{port}")];
    assert_eq!(endpoints(perimeter), open(status.port));

    // The client waited for the perimeter: the confirmation was there in time.
    for _ in 0..5 {
        let next = client.connect().rebind(None).unwrap();
        assert!(next.settled, "{}", publisher.lines().join("\n"));
        assert_eq!(endpoints(perimeter), open(next.port));
        client.qualified();
    }
    let port = client.status().port;
    // It was in time, so there was no trouble either.
    let lines = publisher.lines();
    let trouble = lines.iter().find(|line| line.contains("did not confirm"));
    assert_eq!(trouble, None);

    // The elements are leases, which renewals keep.
    let renewed = Instant::now();
    let timeout = &elements(perimeter)[0]["elem"]["timeout"];
    assert!(timeout.as_u64().unwrap() <= 3, "{timeout}");
    eventually(SECOND * 5, "a lease and a half", || {
        assert_eq!(endpoints(perimeter), open(port));
        renewed.elapsed() > Duration::from_millis(4_500)
    });

    // What others do to the set is put right, and theirs stays.
    nft(
        perimeter,
        &format!("flush set {SET}; add element {SET} {{ 198.51.100.7 . 53 }}"),
    );
    eventually(SECOND, "the set put right", || {
        endpoints(perimeter).len() == 2
    });

    // The status of the host names the gate; that of the perimeter, the hosts.
    let report = fleet.perimeter_status();
    assert_eq!(
        (&report["hosts"], &report["in_step"], &report["following"]),
        (&json!(1), &json!(true), &json!(true))
    );

    publisher.kill().unwrap();
    eventually(SECOND * 4, "nothing of a publisher that was killed", || {
        endpoints(perimeter).len() == 1
    });
    let publisher = fleet.publish(alice, "alice", &["--perimeter", "fw"]);
    eventually(SECOND * 5, "the port of the next publisher", || {
        endpoints(perimeter).len() == 2
    });
    publisher.terminate(SECOND * 3).unwrap();
    eventually(SECOND, "nothing of a publisher that has ended", || {
        endpoints(perimeter).len() == 1
    });
    let _publisher = fleet.publish(alice, "alice", &["--perimeter", "fw"]);
    eventually(SECOND * 5, "the port of the next publisher", || {
        endpoints(perimeter).len() == 2
    });
    client.connect().stop().unwrap();
    eventually(SECOND, "nothing without a port", || {
        endpoints(perimeter).len() == 1
    });

    firewall.terminate(SECOND * 3).unwrap();
    assert_eq!(
        endpoints(perimeter),
        ["198.51.100.7:53"],
        "the perimeter took its own and no other"
    );
}

/// Whatever starts or dies in whatever order: the set is right within the lease, and nothing is done by hand.
#[test]
fn the_order_of_restarts_does_not_matter() {
    let mut fleet = Fleet::start(&["alice"]);
    fleet.server.kill().unwrap();
    let firewall = fleet.firewall(&[]);
    let publisher = fleet.publish(&fleet.alice, "alice", &["--lease", LEASE]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    let port = client.qualified().port;
    assert!(endpoints(&fleet.perimeter).is_empty());
    assert!(fleet.perimeter_status()["following"] == false);
    let open = [format!("{}:{port}", fleet.alice.ipv4())];

    fleet.restart_server();
    eventually(SECOND * 5, "the port after the servers started", || {
        endpoints(&fleet.perimeter) == open
    });
    // The firewall: what it left stays for its lease, and the next one takes it over.
    firewall.kill().unwrap();
    assert_eq!(endpoints(&fleet.perimeter), open);
    let firewall = fleet.firewall(&[]);
    let restarted = Instant::now();
    eventually(
        SECOND * 5,
        "a lease after a restart of the firewall",
        || {
            assert_eq!(endpoints(&fleet.perimeter), open);
            restarted.elapsed() > Duration::from_millis(3_500)
        },
    );
    // The servers: the port closes with its lease, and comes back with them.
    fleet.server.kill().unwrap();
    eventually(SECOND * 4, "nothing without servers", || {
        endpoints(&fleet.perimeter).is_empty()
    });
    fleet.restart_server();
    eventually(SECOND * 5, "the port after the servers are back", || {
        endpoints(&fleet.perimeter) == open
    });
    // The set: it may come later, too.
    nft(&fleet.perimeter, "delete table inet filter");
    eventually(SECOND * 2, "the trouble of a missing set", || {
        let status = fleet.perimeter_status();
        status["in_step"] == false && status["endpoints"] == 0 && status["hosts"] == 0
    });
    nft(&fleet.perimeter, servers::RULESET);
    eventually(SECOND * 2, "the port in the new set", || {
        endpoints(&fleet.perimeter) == open
    });
    drop((firewall, publisher));
}

/// A setting that cannot work ends the program at once, with the reason and the way out.
#[test]
fn what_cannot_work_is_told() {
    let world = World::new(NatKind::Cone, NatKind::Cone);
    let host = world
        .internet
        .host("fw", &[[192, 0, 2, 60].into()])
        .unwrap();
    let tell = |arguments: &[&str]| {
        let output = run(&host, teredo().args(arguments));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), text)
    };
    let fleet = "nats://192.0.2.50";
    let (code, text) = tell(&["firewall", "--fleet", fleet]);
    assert!(code == 2 && text.contains("--set"), "{text}");
    let (code, text) = tell(&["firewall", "--fleet", "http://x", "--set", SET]);
    assert!(code == 2 && text.contains("names no NATS server"), "{text}");
    let wrong = "tls://user:secret@nats.example:x";
    for arguments in [
        &["firewall", "--set", SET, "--fleet", wrong][..],
        &["publish", "--nats", wrong],
    ] {
        let (code, text) = tell(arguments);
        assert!(code == 2 && text.contains("nats.example:x"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    // As the unit starts it without OPTIONS: it must not become the agent of this host.
    let (code, text) = tell(&["firewall", "--set", SET, "--ca", "/etc/hosts"]);
    assert!(code == 2 && text.contains("belong to --fleet"), "{text}");
    let (code, text) = tell(&["publish"]);
    assert!(code == 2 && text.contains("--nats"), "{text}");
    let (code, text) = tell(&["publish", "--nats", fleet, "--host", "a.b"]);
    assert!(code == 2 && text.contains("no key of a host"), "{text}");
    let (code, text) = tell(&["publish", "--nats", fleet, "--creds", "/nonexistent"]);
    assert!(code == 1 && text.contains("/nonexistent"), "{text}");
    nft(
        &host,
        "table inet filter { set teredo_hosts { type inet_service; flags timeout; }; }",
    );
    let socket = world.path("fw.sock");
    let (code, text) = tell(&[
        "firewall",
        "--fleet",
        fleet,
        "--set",
        SET,
        "--socket",
        socket.to_str().unwrap(),
    ]);
    assert!(
        code == 1
            && text.contains("is not of type ipv4_addr . inet_service")
            && text.contains("hint:"),
        "{text}"
    );
}

/// A host without a default route has no address towards the world; the port of its next client is open in time all the same.
#[test]
fn a_host_without_a_default_route_is_followed() {
    let fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall(&[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &["--perimeter", "fw"]);
    let mut route = std::process::Command::new("sh");
    route.args([
        "-ec",
        "router=$(ip -4 route show default | cut -d' ' -f3)
         ip route add 192.0.2.0/24 via $router dev eth0 onlink
         ip route delete default",
    ]);
    let output = run(&fleet.alice, &mut route);
    assert!(output.status.success(), "{output:?}");
    for round in 0..2 {
        let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
        let port = client.qualified().port;
        client.until(SECOND * 5, "a gate in step", in_sync);
        assert_eq!(
            endpoints(&fleet.perimeter),
            [format!("{}:{port}", fleet.alice.ipv4())]
        );
        // The address of the first client was not known before it told it.
        let lines = client.process.lines();
        let late = lines
            .iter()
            .find(|line| line.contains("did not confirm the port in time"));
        assert!(round == 0 || late.is_none(), "{late:?}");
        let next = client.connect().rebind(None).unwrap();
        assert!(next.settled);
    }
}

/// The trouble of a perimeter that does not confirm is the gate's: it shows in the host's status, and the client goes on.
#[test]
fn a_perimeter_that_is_gone_delays_and_is_named() {
    let fleet = Fleet::start(&["alice"]);
    // It has been there, and made the bucket.
    let firewall = fleet.firewall(&[]);
    firewall
        .wait_for_line("entries of the bucket are known", SECOND * 5)
        .unwrap();
    firewall.kill().unwrap();
    let _publisher = fleet.publish(&fleet.alice, "alice", &["--perimeter", "fw"]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    client.qualified();
    let outcome = client.connect().rebind(None).unwrap();
    assert!(!outcome.settled);
    client.until(SECOND * 5, "the perimeter named", |status| {
        let troubles = status
            .firewall
            .iter()
            .filter_map(|gate| gate.trouble.as_deref());
        troubles
            .into_iter()
            .any(|trouble| trouble.starts_with("fw did not confirm port"))
    });
    // It comes late: the port is confirmed then.
    let _firewall = fleet.firewall(&[]);
    client.until(SECOND * 5, "a gate in step", |status| {
        status.firewall.iter().all(|gate| gate.in_sync)
    });
}

/// Without any host, too, a perimeter tells that its set is missing; and no trouble hides another.
#[test]
fn a_perimeter_tells_all_its_troubles() {
    let mut fleet = Fleet::start(&["alice"]);
    nft(&fleet.perimeter, "delete table inet filter");
    let _firewall = fleet.firewall(&[]);
    let told = |fleet: &Fleet, what, set: bool, servers: bool| {
        eventually(SECOND * 10, what, || {
            let status = fleet.perimeter_status();
            let trouble = status["trouble"].as_str().unwrap_or_default();
            trouble.contains("teredo_hosts") == set
                && trouble.contains("no connection to the servers") == servers
                && (status["in_step"] == !set)
                && (status["following"] == !servers)
        });
    };
    told(&fleet, "a set that was never there", true, false);
    nft(&fleet.perimeter, servers::RULESET);
    told(&fleet, "no trouble", false, false);
    nft(&fleet.perimeter, "delete table inet filter");
    told(&fleet, "a set that has gone", true, false);
    fleet.server.kill().unwrap();
    told(&fleet, "neither set nor servers", true, true);
    nft(&fleet.perimeter, servers::RULESET);
    told(&fleet, "missing servers", false, true);
    fleet.restart_server();
    told(&fleet, "everything back", false, false);
}

/// A file that is being replaced while the servers are away is waited for, and closes nothing.
#[test]
fn a_file_that_is_missing_for_a_moment_ends_nothing() {
    let mut fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall(&[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &[]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    let open = vec![format!(
        "{}:{}",
        fleet.alice.ipv4(),
        client.qualified().port
    )];
    eventually(SECOND * 5, "the port", || {
        endpoints(&fleet.perimeter) == open
    });
    let [authority, aside] = ["ca.pem", "aside.pem"].map(|name| fleet.file(name));
    std::fs::rename(&authority, &aside).unwrap();
    fleet.server.kill().unwrap();
    let named = |trouble: &str| trouble.contains("cannot read") && trouble.contains("ca.pem");
    let mut seen = [false; 2];
    eventually(SECOND * 10, "the missing file named by both", || {
        let perimeter = fleet.perimeter_status();
        seen[0] |= perimeter["trouble"].as_str().is_some_and(named);
        let gates = client.status().firewall;
        let mut troubles = gates.iter().filter_map(|gate| gate.trouble.as_deref());
        seen[1] |= troubles.any(named);
        seen == [true; 2]
    });
    // It is younger than the lease.
    assert_eq!(endpoints(&fleet.perimeter), open);
    std::fs::rename(&aside, &authority).unwrap();
    fleet.restart_server();
    eventually(SECOND * 20, "all in step again", || {
        fleet.perimeter_status()["following"] == true
            && in_sync(&client.status())
            && endpoints(&fleet.perimeter) == open
    });
}

/// The example for other programs: the value, read with the `nats` of nobody but the protocol itself.
#[test]
fn the_bucket_holds_the_documented_value() {
    let fleet = Fleet::start(&["alice"]);
    let _firewall = fleet.firewall(&[]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &[]);
    // The reader's key may get entries directly.
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    let status = client.qualified();
    let get = || {
        let answer = fleet.say(
            &fleet.perimeter,
            "shop",
            "$JS.API.DIRECT.GET.KV_teredo_ports.$KV.teredo_ports.alice",
            "",
        );
        let start = answer.find('{')?;
        let end = answer.rfind('}')?;
        serde_json::from_str::<Value>(&answer[start..=end]).ok()
    };
    let mut value = Value::Null;
    eventually(SECOND * 5, "the entry of a qualified client", || {
        value = get().unwrap_or_default();
        value["mapped"]["port"] != 0 && value["address"].is_string()
    });
    assert_eq!(value["schema"], "teredo.port/1");
    assert_eq!(value["host"], "alice");
    assert_eq!(
        value["local"],
        json!({ "address": fleet.alice.ipv4(), "port": status.port })
    );
    assert_eq!(value["mapped"]["port"], status.mapped.unwrap().port());
    assert_eq!(value["address"], status.address.unwrap().to_string());
    assert_eq!(value["sequence"], status.sequence);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(value["boot"], boot.trim());
    assert_eq!(value["lease"], 15.0);
}
