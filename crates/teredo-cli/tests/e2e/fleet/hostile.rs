//! A host that has a key and means ill.

use serde_json::{Value, json};
use teredo_lab::Host;

use super::servers::{Fleet, endpoints};
use crate::metrics::{assert_well_formed_metrics, sample, scrape, watched_at_a_perimeter};
use crate::world::*;

fn mallory(fleet: &Fleet) -> Host {
    let internet = &fleet.world.internet;
    internet.host("mallory", &[[192, 0, 2, 66].into()]).unwrap()
}

/// Security: a host writes its own key alone, names no address of another, and cannot make the bucket grow.
#[test]
fn a_host_speaks_for_itself_alone() {
    let fleet = Fleet::start(&["alice", "mallory"]);
    let mallory = mallory(&fleet);
    let alice_address = fleet.alice.ipv4();
    let grants = [
        format!("alice={alice_address}/32"),
        String::from("mallory=192.0.2.66/32"),
    ];
    let _firewall = fleet.firewall(&["--network", &grants[0], "--network", &grants[1]]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &[]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    let open = vec![format!("{alice_address}:{}", client.qualified().port)];
    eventually(SECOND * 5, "alice's port", || {
        endpoints(&fleet.perimeter) == open
    });

    // With mallory's key, the server takes no entry for alice.
    let evil = fleet.world.client(&mallory, &[]);
    evil.qualified();
    let forger = fleet.publish_as(&mallory, "mallory", "alice", &[]);
    forger
        .wait_for_line("Permissions Violation", SECOND * 10)
        .unwrap();
    assert_eq!(endpoints(&fleet.perimeter), open);
    forger.terminate(SECOND * 5).unwrap();

    // Nor may it read, or create a bucket of its own; with its own key it names alice's address in vain.
    let entry = |time: &str, port: u16| {
        json!({
            "schema": "teredo.port/1", "host": "mallory", "address": null,
            "local": { "address": alice_address, "port": port },
            "mapped": { "address": null, "port": 0 },
            "sequence": 1, "boot": "m", "time": time,
        })
    };
    let say = |subject: &str, payload: &str| fleet.say(&mallory, "mallory", subject, payload);
    let put = |entry: &Value| say("$KV.teredo_ports.mallory", &entry.to_string());
    assert!(put(&entry("2026-11-30T12:00:00Z", 22)).contains("\"seq\""));
    eventually(SECOND, "a refused address", || {
        fleet.perimeter_status()["refused"]["not_granted"] == 1
    });
    assert!(say("$KV.teredo_ports.alice", "x").contains("Permissions Violation"));
    assert!(say("$JS.API.STREAM.CREATE.KV_other", "{}").contains("Permissions Violation"));
    assert!(say("$JS.API.CONSUMER.CREATE.KV_teredo_ports", "{}").contains("Permissions Violation"));
    assert!(say("teredo.confirmed.alice.fw", "{}").contains("Permissions Violation"));
    // Longer than an entry may be, and longer than a message may be.
    assert!(say("$KV.teredo_ports.mallory", &"x".repeat(2_000)).contains("maximum"));
    assert!(say("$KV.teredo_ports.mallory", &"x".repeat(20_000)).contains("Maximum Payload"));

    // A replay: what is not newer than the last entry renews nothing.
    let mut own = entry("2026-11-30T12:00:02Z", 4000);
    own["local"]["address"] = json!("192.0.2.66");
    put(&own);
    eventually(SECOND, "mallory's own port", || {
        endpoints(&fleet.perimeter).len() == 2
    });
    own["time"] = json!("2026-11-30T12:00:01Z");
    own["local"]["port"] = json!(4001);
    put(&own);
    eventually(SECOND, "a refused replay", || {
        fleet.perimeter_status()["refused"]["replayed"] == 1
    });
    assert!(
        endpoints(&fleet.perimeter)
            .iter()
            .any(|endpoint| endpoint == "192.0.2.66:4000")
    );
    // The server's answer goes to no key of another, and to no request; and nothing removes the entries of others.
    for subject in [
        "$KV.teredo_ports.alice",
        "$KV.teredo_ports.new",
        "$JS.API.STREAM.PURGE.KV_teredo_ports",
    ] {
        fleet.reply(&mallory, "mallory", subject);
    }
    let own_key = "$KV.teredo_ports.mallory";
    let header = r"NATS/1.0\r\nNats-Rollup: all\r\n\r\n";
    let answer = fleet.say_below(&mallory, "mallory", own_key, header);
    assert!(answer.contains("rollup"), "{answer}");
    let bucket = say("teredo.api.STREAM.INFO.KV_teredo_ports", "");
    assert!(bucket.contains("\"messages\":2"), "{bucket}");
    // The identifiers of messages are not counted by any limit.
    assert!(
        bucket.contains("\"duplicate_window\":100000000"),
        "{bucket}"
    );
    eventually(SECOND, "mallory's own three entries, and no more", || {
        fleet.perimeter_status()["refused"]["malformed"] == 3
    });
    // A flood of one's own key: one entry in the bucket, and alice is served meanwhile.
    fleet.flood(&mallory, "mallory", 2_000);
    let next = client.connect().rebind(None).unwrap();
    eventually(SECOND, "alice's next port", || {
        endpoints(&fleet.perimeter).contains(&format!("{alice_address}:{}", next.port))
    });
}

/// The header of a message is its sender's, and NATS hands it on as it is. A perimeter reads over what is wrong with it.
#[test]
fn headers_of_one_host_harm_nobody() {
    let fleet = Fleet::start(&["alice", "mallory"]);
    let mallory = mallory(&fleet);
    let firewall = fleet.firewall(&["--metrics", "9550"]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &["--perimeter", "fw"]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    client.qualified();
    let times = |words: &str| {
        let lines = firewall.lines();
        lines.iter().filter(|line| line.contains(words)).count()
    };
    let headers = [
        r"NATS/1.0\r\nno colon\r\n\r\n",
        r"NATS/1.0\r\nA: a\rb\r\n\r\n",
        r"NATS/1.0\r\nA\rB: a\r\n\r\n",
        r"NATS/1.0\r\n: a\r\n\r\n",
        r"NATS/1.0\r\n \r\n\r\n",
        r"NATS/1.0\r\nA: \xff\r\n\r\n",
        r"NATS/1.0\r\n\xff: a\r\n\r\n",
        r"NATS/1.0 404\r\n\r\n",
        r"NATS/1.0 409 Consumer Deleted\r\n\r\n",
        r"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 99\r\n\r\n",
        r"NATS/1.0 99999 \r\n\r\n",
        r"NATS/1.0 x\r\n\r\n",
        r"NATS/9",
        r"\xff",
        r"\r\n",
        r"A: a\r\n\r\n",
        r"NATS/1.0\r\nKV-Operation: DEL\rx\r\n\r\n",
    ];
    for header in headers {
        let before = fleet.perimeter_status()["refused"]["malformed"].clone();
        let answer = fleet.say_below(&mallory, "mallory", "$KV.teredo_ports.mallory", header);
        assert!(answer.contains("\"seq\""), "{header}: {answer}");
        eventually(SECOND * 2, header, || {
            fleet.perimeter_status()["refused"]["malformed"] != before
        });
        // The perimeter answers no question with such contents; that it read it shows in the next rebind.
        fleet.tell_below(&mallory, "mallory", "teredo.ask.mallory", header);
        let next = client.connect().rebind(None).unwrap();
        assert!(next.settled, "{header}: {}", firewall.lines().join("\n"));
    }
    // The server adds its own to the end of a long header: what it has read from the bucket is still known for a copy.
    let copy = format!(
        r"NATS/1.0\r\n{}Nats-Stream: a\r\n\r\n",
        r"a:\r\n".repeat(200)
    );
    fleet.say_below(&mallory, "mallory", "$KV.teredo_ports.mallory", &copy);
    eventually(SECOND * 2, "a copy", || {
        fleet.perimeter_status()["refused"]["copied"] == 1
    });
    // Long ones keep nobody busy for long.
    fleet.flood_names(&mallory, "mallory");
    let next = client.connect().rebind(None).unwrap();
    let open = [format!("{}:{}", fleet.alice.ipv4(), next.port)];
    eventually(SECOND * 2, "alice's port after a flood of names", || {
        endpoints(&fleet.perimeter) == open
    });
    assert_eq!(times("connected to the servers"), 1);
    assert_eq!(times("the bucket is not followed"), 0);
    // They are counted, and Prometheus can see that.
    let text = scrape(&fleet.perimeter, "127.0.0.1:9550");
    assert_well_formed_metrics(&text);
    let count = |name: &str| sample(&text, name).unwrap_or_else(|| panic!("{name} in {text}"));
    assert!(text.contains("role=\"perimeter\""), "{text}");
    let watched = watched_at_a_perimeter();
    assert!(watched.len() >= 3, "{watched:?}");
    assert!(watched.iter().all(|name| count(name) >= 0.0));
    assert_eq!(count("teredo_fleet_following"), 1.0);
    assert_eq!(count("teredo_fleet_in_step"), 1.0);
    assert_eq!(count("teredo_fleet_trouble"), 0.0);
    assert_eq!(count("teredo_fleet_hosts"), 1.0);
    assert_eq!(count("teredo_fleet_endpoints"), 1.0);
    assert_eq!(count("teredo_fleet_lease_seconds"), 15.0);
    let malformed = "teredo_fleet_refused_entries_total{reason=\"malformed\"}";
    assert_eq!(count(malformed), headers.len() as f64);
    assert_eq!(
        count("teredo_fleet_refused_entries_total{reason=\"full\"}"),
        0.0
    );
}

/// While nobody can watch the bucket, its entries are read one by one, whatever stands in the headers of others.
#[test]
fn without_a_watch_the_entries_are_read_one_by_one() {
    let mut fleet = Fleet::start(&["alice", "mallory"]);
    fleet.change_account(
        "\"$JS.API.CONSUMER.CREATE.KV_teredo_ports\", \"$JS.API.CONSUMER.CREATE.KV_teredo_ports.>\", ",
        "",
    );
    let mallory = mallory(&fleet);
    let firewall = fleet.firewall(&["--verbose"]);
    let _publisher = fleet.publish(&fleet.alice, "alice", &["--perimeter", "fw"]);
    let client = fleet.world.client(&fleet.alice, &["--allow-private"]);
    client.qualified();
    let times = |words: &str| {
        let lines = firewall.lines();
        lines.iter().filter(|line| line.contains(words)).count()
    };
    let lines = format!(r"NATS/1.0\r\n{}\r\n", r"a:\r\n".repeat(200));
    for header in [
        r"NATS/1.0 404\r\n\r\n",
        r"NATS/1.0 503\r\n\r\n",
        r"NATS/1.0\r\nNats-Sequence: 1\r\nNats-Subject: $KV.teredo_ports.alice\r\n\r\n",
        r"\xff",
        &lines,
    ] {
        let answer = fleet.say_below(&mallory, "mallory", "$KV.teredo_ports.mallory", header);
        assert!(answer.contains("\"seq\""), "{header}: {answer}");
        let next = client.connect().rebind(None).unwrap();
        let open = [format!("{}:{}", fleet.alice.ipv4(), next.port)];
        eventually(SECOND * 10, header, || endpoints(&fleet.perimeter) == open);
    }
    // The bucket's leader answers, so no other connection is tried. Four consumers are asked for within 7 s, longer than a
    // connection without any answer is kept.
    eventually(SECOND * 15, "four refusals", || {
        times("the server refuses") >= 4
    });
    assert_eq!(times("INFO teredo::state: connected to the servers"), 1);
    assert_eq!(fleet.perimeter_status()["following"], false);
}
