//! `teredo lab fleet`, with a real cluster of NATS (Debian's packages nats-server and openssl).

use super::*;

const IN_TIME: Duration = Duration::from_secs(90);
const LEASE_MS: f64 = 15_000.0;
const SHORT_LEASE_MS: f64 = 4_000.0;
/// How much later than its lease the end of a port may be seen.
const LATE_MS: f64 = 300.0;

/// N-16 across the network: two perimeters follow 20 hosts, whatever is killed or cut. No port is open after its lease, no
/// live port is closed for longer than the lease, and nothing is done by hand. No root is needed.
#[test]
fn perimeters_follow_their_hosts() {
    let stage = Stage::new();
    let words = ["lab", "fleet", "--json"];
    let (steps, verdict) = stage.told_within(IN_TIME, &stage.as_nobody("666"), &words);
    assert_eq!(verdict["ok"], true);
    let titles: Vec<_> = steps
        .iter()
        .map(|step| step["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "a network",
            "a cluster",
            "a bucket",
            "20 hosts",
            "rebinds",
            "the leader is killed",
            "it is started again",
            "a shorter lease",
            "a perimeter is killed",
            "it is started again",
            "hosts are killed",
            "they are started again",
            "the network is cut",
            "it is healed",
            "the end",
        ]
    );
    let facts = |number: usize| &steps[number - 1]["facts"];
    let time = |number: usize, fact: &str| {
        let value = facts(number)[fact].as_f64();
        value.unwrap_or_else(|| panic!("{}: {fact}", facts(number)))
    };
    assert_eq!(facts(3)["replicas"], 3);
    assert_eq!(facts(4)["hosts"], 20);
    // Both perimeters had opened each port before its first datagram.
    assert_eq!(
        (&facts(5)["rebinds"], &facts(5)["dropped"]),
        (&6.into(), &0.into())
    );
    assert!(time(6, "followed_ms") <= LEASE_MS);
    assert_ne!(facts(6)["leader"], facts(6)["killed"]);
    for closed_nothing in [6, 7, 8] {
        assert_eq!(time(closed_nothing, "closed_ms"), 0.0);
    }
    for ended_in_time in [9, 11, 13] {
        let closed = time(ended_in_time, "closed_ms");
        assert!(
            closed > 0.0 && closed <= SHORT_LEASE_MS + LATE_MS,
            "step {ended_in_time}: {closed} ms"
        );
    }
    assert!(
        facts(9)["trouble"]
            .as_str()
            .unwrap()
            .starts_with("fw2 did not confirm port")
    );
    assert!(time(13, "cut_off_closed_ms") <= SHORT_LEASE_MS + LATE_MS);
    assert!(time(13, "majority_closed_ms") <= SHORT_LEASE_MS);
    assert_eq!(facts(14)["dropped"], 0);
    // 20 clients, as many publishers, two perimeters, the Teredo server, and three servers of NATS.
    assert_eq!(facts(15)["ended"], 46);
}

/// N-16 across the network, whatever fails and in which order: hosts, perimeters, servers and cables, several at a time. The
/// seed of a run that failed repeats its kills.
#[test]
fn no_kill_leaves_a_port_open_or_closes_a_live_one() {
    let kills = if std::env::var_os("TEREDO_LONG").is_some() {
        200
    } else {
        4
    };
    let stage = Stage::new();
    let in_time = IN_TIME + Duration::from_secs(3) * kills;
    let words = ["lab", "fleet", "--json", "--kills", &kills.to_string()];
    let (steps, verdict) = stage.told_within(in_time, &stage.as_nobody("666"), &words);
    assert_eq!(verdict["ok"], true);
    let facts = steps
        .iter()
        .find(|step| step["title"] == "kills at random")
        .map(|step| &step["facts"])
        .unwrap();
    assert_eq!(facts["kills"], kills);
    let by_kind = ["server", "perimeter", "host", "process", "link"];
    let sum: u64 = by_kind
        .map(|kind| facts[kind].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!(sum, u64::from(kills));
    for time in ["open_ms", "closed_ms"] {
        assert!(
            facts[time].as_f64().unwrap() <= LEASE_MS + 1_000.0,
            "{facts}"
        );
    }
}

#[test]
fn without_nats_server_or_openssl_the_package_is_named() {
    for (program, package) in [
        ("/usr/sbin/nats-server", "apt-get install nats-server"),
        ("/usr/bin/openssl", "apt-get install openssl"),
    ] {
        let stage = Stage::new();
        let hidden = format!("mount --bind /dev/null {program} && exec \"$0\" \"$@\"");
        let wrapper = ["unshare", "--mount", "--", "sh", "-c", &hidden].map(str::to_owned);
        let output = stage.run(&wrapper, &["lab", "fleet"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(package), "{text}");
        assert!(output.stdout.is_empty());
    }
}
