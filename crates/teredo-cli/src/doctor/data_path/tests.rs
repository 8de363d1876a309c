use std::time::Duration;

use teredo_notify::types::{CarriedPackets, DataPath, rfc3339};

use super::super::check::Verdict;
use super::super::seen::{Process, Unit, Units};
use super::super::tests::{check, healthy};
use super::*;

fn with(reason: &str) -> Seen {
    let mut seen = healthy();
    seen.status_mut().data_path.reason = Some(reason.into());
    seen
}

fn judged(seen: &Seen) -> Check {
    check(seen, id::PATH_KERNEL)
}

#[test]
fn the_path_in_use_is_named_with_its_packets() {
    let mut seen = healthy();
    assert_eq!(judged(&seen).result, Verdict::Skip);
    seen.status_mut().data_path = DataPath {
        in_use: Carrier::Kernel,
        since: Some(rfc3339(seen.host.now - Duration::from_secs(180))),
        packets: CarriedPackets { kernel: 9, user: 2 },
        ..DataPath::default()
    };
    let found = judged(&seen);
    assert_eq!(found.result, Verdict::Ok);
    assert_eq!(
        found.what,
        "the kernel carries the packets of known peers for 3m 0s: 9 packets, and user space 2"
    );
    seen.host.jit = Some(false);
    let found = judged(&seen);
    assert_eq!(
        (found.result, &*found.fix),
        (Verdict::Warn, "sysctl -w net.core.bpf_jit_enable=1")
    );
}

/// The operator can do something about both, and need not.
#[test]
fn a_server_beside_another_program_or_behind_another_interface_has_advice() {
    let other = judged(&with("another XDP program is attached to eth0"));
    assert_eq!(other.result, Verdict::Ok);
    assert!(other.fix.contains("ip link show dev eth0"), "{}", other.fix);
    assert!(other.fix.contains("data_path = "), "{}", other.fix);
    let interface = judged(&with(
        "solicitations arrive by another interface than that of the server's address, and there the kernel answers none",
    ));
    assert_eq!(
        (interface.result, &*interface.fix),
        (Verdict::Ok, "ip -br address; ip route")
    );
}

#[test]
fn what_an_operator_chose_or_cannot_change_is_no_trouble() {
    let chosen = judged(&with("data_path is user"));
    assert_eq!((chosen.result, &*chosen.why), (Verdict::Ok, ""));
    let gate = judged(&with("a firewall that follows the port was lost"));
    assert_eq!(gate.result, Verdict::Ok);
    assert!(
        gate.why
            .starts_with("a firewall that follows the port was lost; ")
    );
    let rules = judged(&with("a rule of the chain `input` has a limit"));
    assert_eq!(
        (rules.result, &*rules.fix),
        (Verdict::Ok, "nft -a list ruleset")
    );

    let mut old = with("the kernel does not attach `encapsulate`: Invalid argument");
    old.host.linux = Some((6, 1));
    let found = judged(&old);
    assert_eq!(found.result, Verdict::Ok);
    assert!(
        found
            .why
            .contains("takes Linux 6.6 or later, and this is 6.1"),
        "{found:?}"
    );
}

/// The daemon carries nothing, so it is not a question of speed.
#[test]
fn without_packets_nobody_is_said_to_carry_them() {
    let stopped = judged(&with("there is no settled port"));
    assert_eq!(stopped.result, Verdict::Skip);
    let reason = "the tunnel's interface is in another network namespace";
    let elsewhere = judged(&with(reason));
    assert_eq!(
        (elsewhere.result, &*elsewhere.what, &*elsewhere.why),
        (Verdict::Warn, "no packets pass", reason)
    );
}

/// `nft` shows neither.
#[test]
fn rules_of_another_kind_are_shown_by_their_own_program() {
    for (reason, shown) in [
        (
            "iptables-legacy has rules in the table \"filter\"",
            "iptables-legacy-save",
        ),
        (
            "policy routing may choose another way ('ip rule', priority 32765)",
            "ip rule",
        ),
    ] {
        assert_eq!(judged(&with(reason)).fix, shown, "{reason}");
    }
}

/// A fault of a new kernel is one; its log is where the mend says.
#[test]
fn a_program_that_the_kernel_refuses_is_a_warning() {
    let mut seen = with("the kernel refuses the program `encapsulate`: Permission denied");
    let found = judged(&seen);
    assert_eq!(found.result, Verdict::Warn);
    assert!(
        found.fix.starts_with("# the log of the client"),
        "{found:?}"
    );
    seen.processes = vec![asked()];
    let found = judged(&seen);
    assert!(
        found
            .fix
            .starts_with("journalctl --unit=teredo-client.service"),
        "{found:?}"
    );
}

/// The process of the service that was asked.
fn asked() -> Process {
    Process {
        pid: 6,
        name: "teredo".into(),
        arguments: ["teredo", "client"].map(str::to_owned).to_vec(),
        here: Some(true),
        unit: Some("teredo-client.service".into()),
        ..Process::default()
    }
}

#[test]
fn a_unit_without_the_capability_gets_it() {
    let mut seen = with("the kernel permits no BPF: it takes CAP_BPF and CAP_NET_ADMIN");
    let by_hand = judged(&seen);
    assert_eq!(by_hand.result, Verdict::Warn);
    assert!(by_hand.fix.contains("--cap-add BPF"), "{by_hand:?}");
    seen.processes = vec![asked()];
    seen.units = Units::Known(vec![Unit {
        name: "teredo-client.service".into(),
        loaded: "loaded".into(),
        active: "active".into(),
        file: "enabled".into(),
        ..Unit::default()
    }]);
    let by_unit = judged(&seen);
    let lines: Vec<_> = by_unit.fix.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&"install -d -m 755 /etc/systemd/system/teredo-client.service.d")
    );
    assert!(
        lines[1].contains("AmbientCapabilities=CAP_BPF"),
        "{lines:?}"
    );
    assert_eq!(
        lines.last(),
        Some(&"systemctl restart teredo-client"),
        "{lines:?}"
    );
}
