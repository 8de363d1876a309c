use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::status::HEADINGS;

#[test]
fn a_code_is_known_by_number_and_by_name_in_both_flavours() {
    for code in [
        "21",
        "0xC00000A3",
        "error_not_ready",
        "STATUS_DEVICE_NOT_READY",
    ] {
        let text = explain(code).expect("a code of the contract");
        assert!(
            text.starts_with(
                "ERROR_NOT_READY (Win32 21), STATUS_DEVICE_NOT_READY (NTSTATUS 0xC00000A3)\n"
            ),
            "{text}"
        );
    }
}

#[test]
fn zero_is_a_status_code_and_an_exit_status() {
    let text = explain("0").expect("known");
    assert!(
        text.contains("NO_ERROR") && text.contains("done (exit status 0)"),
        "{text}"
    );
}

#[test]
fn every_exit_status_is_explained() {
    for exit in Exit::ALL {
        for code in [exit.code().to_string(), exit.name().to_owned()] {
            let text = explain(&code).expect("known");
            assert!(text.contains(exit.explanation()) && text.contains(exit.next_step()));
        }
    }
}

#[test]
fn every_drop_reason_is_explained() {
    for reason in DropReason::ALL {
        let text = explain(reason.name()).unwrap_or_else(|| panic!("{reason} has no explanation"));
        assert!(text.starts_with(&format!("{reason} (a packet was dropped)\n")));
        assert!(text.contains("\n   next: "), "{text}");
    }
}

#[test]
fn every_refusal_of_a_perimeter_is_explained() {
    for reason in teredo_fleet::Refusal::NAMES {
        let text = explain(reason).unwrap_or_else(|| panic!("{reason} has no explanation"));
        assert!(text.contains("a perimeter, refused"), "{text}");
    }
}

#[test]
fn an_unknown_code_is_refused_with_the_nearest_name() {
    assert!(explain("22").is_none() && explain("").is_none());
    let failure = unknown("maping_mismatch");
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    let said = String::from_utf8(bytes).expect("text");
    assert!(
        said.contains("hint: did you mean 'mapping_mismatch'?"),
        "{said}"
    );
}

/// Each state, NAT and peer state that a status can print.
#[test]
fn every_word_of_the_status_is_explained() {
    use teredo::client::Nat;
    use teredo_notify::types::{PeerState, Phase};

    let states = [
        Phase::Offline,
        Phase::Probe,
        Phase::Dormant,
        Phase::Qualified,
    ]
    .map(Phase::name);
    let nats = [Nat::Unknown, Nat::None, Nat::Restricted, Nat::Symmetric].map(Nat::name);
    let peers = [PeerState::Trusted, PeerState::Probing, PeerState::Silent].map(PeerState::name);
    let lines = [
        "problem",
        "Reason",
        "Drops",
        "in sync",
        "not in sync",
        "behind",
        "serving",
        "relaying",
    ];
    for word in states.iter().chain(&nats).chain(&peers).chain(&lines) {
        let text = explain(word).unwrap_or_else(|| panic!("{word} has no explanation"));
        assert!(text.contains("\n   next: "), "{text}");
    }
}

#[track_caller]
fn assert_explained(word: &str, kind: &str) {
    let text = explain(word).unwrap_or_else(|| panic!("{word} has no explanation"));
    assert!(text.contains(kind), "{word}: {text}");
    assert_eq!(
        text.matches("  means: ").count(),
        text.matches("   next: ").count(),
        "{text}"
    );
}

#[test]
fn every_finding_and_check_is_explained() {
    for rule in Rule::ALL {
        assert_explained(rule.id, "(a finding of 'teredo trace'");
    }
    for kind in finding::ALL {
        assert_explained(kind.id, "(a finding of 'teredo probe'");
    }
    for check in id::ALL {
        assert_explained(check.name, "(a check of 'teredo doctor'");
    }
}

#[test]
fn every_nat_of_the_lab_is_explained() {
    for kind in NatKind::ALL {
        assert_explained(kind.name(), "(a kind of NAT of 'teredo lab')");
    }
    for property in HomeNat::properties() {
        assert_explained(property, "(a property of a NAT of 'teredo lab')");
    }
}

/// The names in the JSON of the status and of a peer, at every depth, and the values of the NAT and the gateway.
#[test]
fn every_field_of_the_status_is_explained() {
    use serde_json::{json, to_value};
    use teredo_notify::types::{
        FirewallStatus, GatewayStatus, Lane, Limited, NatBehaviour, Pair, Peer, Status,
    };

    let status = Status {
        firewall: vec![FirewallStatus::default()],
        gateway: Some(GatewayStatus::default()),
        nat_behaviour: Some(NatBehaviour::new("endpoint-independent", "preserving")),
        ..Status::default()
    };
    let any: Ipv4Addr = [192, 0, 2, 1].into();
    let pair = Pair {
        primary: any,
        secondary: any,
    };
    let limited = Limited {
        destination: any.to_string(),
        refused: 1,
    };
    let peer: Peer = serde_json::from_value(json!({"address": "2001:0:c000:201::1"})).unwrap();
    for object in [
        to_value(status),
        to_value(Lane::default()),
        to_value(pair),
        to_value(limited),
        to_value(peer),
    ] {
        for name in names(&object.unwrap()) {
            assert_explained(&name, "(a word of 'teredo status'");
        }
    }
    for value in [
        "endpoint-independent",
        "address-and-port-dependent",
        "preserving",
        "other",
        "idle",
        "asking",
        "mapped",
        "refused",
        "pcp",
        "nat-pmp",
        "upnp",
    ] {
        assert_explained(value, "(a word of 'teredo status'");
    }
}

/// The names of the fields of an object, and of the objects in it.
fn names(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| [vec![name.clone()], names(value)].concat())
            .collect(),
        serde_json::Value::Array(values) => values.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// Every counter of the data path, of a node and of a server, as the status and the metrics name them.
#[test]
fn every_counter_of_the_data_path_is_explained() {
    use teredo_tunnel::lane::Counters;
    use teredo_tunnel::server::ServerTraffic;

    let of_node = Counters::default().iter().map(|(name, _)| name);
    let of_server = ServerTraffic::default().iter().map(|(name, _)| name);
    let of_work = crate::server::work(&teredo::server::ServerCounters::default());
    let of_work = of_work.map(|(name, _)| name);
    let further = [crate::server::OTHER_INTERFACE];
    for name in of_node.chain(of_server).chain(of_work).chain(further) {
        assert_explained(name, "(a word of 'teredo status'");
    }
}

/// Each that stands for an option.
#[test]
fn every_variable_of_the_environment_is_explained() {
    use clap::CommandFactory as _;

    let command = crate::args::Cli::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    let variables: std::collections::BTreeSet<_> = all
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    assert!(variables.contains("TEREDO_DATA_PATH"));
    for variable in variables {
        assert_explained(variable, "(a word of the settings: environment)");
    }
}

/// As the status and the metrics name them.
#[test]
fn every_outcome_of_the_path_in_the_kernel_is_explained() {
    use teredo_tunnel::kernel::Outcome;

    for outcome in Outcome::ALL {
        assert_explained(
            &format!("kernel_{outcome}"),
            "(a word of 'teredo status': data_path)",
        );
    }
}

/// The name of a family and those of its samples.
#[test]
fn every_metric_is_explained() {
    for (name, _) in metrics::names() {
        assert_explained(&name, "(a metric)");
    }
    assert_explained("teredo_data_path_total", "Every counter of the data path.");
}

/// The labels of the text, as a client, a relay and a server print them, and the columns of the peers.
#[test]
fn every_label_of_the_status_is_explained() {
    use teredo_notify::types::{
        DataPath, FirewallStatus, GatewayStatus, Lane, Limited, Pair, Phase, Role, Status,
    };

    let any: Ipv4Addr = [192, 0, 2, 1].into();
    let end = Some(SocketAddrV4::new(any, 40_001));
    let gateway = GatewayStatus {
        state: "mapped".into(),
        external: Some(SocketAddrV4::new(any, 40_002)),
        ..GatewayStatus::default()
    };
    let pair = Pair {
        primary: any,
        secondary: any,
    };
    let limited = Limited {
        destination: any.to_string(),
        refused: 1,
    };
    let mut labels = HEADINGS.map(str::to_owned).to_vec();
    for role in [Role::Client, Role::Relay, Role::Server] {
        let status = Status {
            role,
            state: Phase::Qualified,
            problems: vec!["one".into()],
            reason: Some("one".into()),
            address: Some(std::net::Ipv6Addr::LOCALHOST),
            port: 40_001,
            random_ports: 1,
            mapped: end,
            // A symmetric NAT has the most lines.
            nat: Some("symmetric".into()),
            nat_traversal: Some("rfc6081".into()),
            gateway: Some(gateway.clone()),
            refresh_ms: Some(8_000),
            lanes: vec![Lane::default(), Lane::default()],
            pairs: vec![pair],
            limited: vec![limited.clone()],
            firewall: vec![FirewallStatus::default()],
            data_path: DataPath {
                reason: Some("one".into()),
                ..DataPath::default()
            },
            ..Status::default()
        };
        let text = crate::status::text(&status, std::time::SystemTime::UNIX_EPOCH);
        let rows = text.lines().skip(1);
        labels.extend(rows.filter_map(|row| Some(row.split_once(':')?.0.trim().to_owned())));
        labels.extend(["Mapped", "Rx", "Tx"].map(str::to_owned));
    }
    assert!(labels.len() > 20, "{labels:?}");
    for label in labels {
        assert_explained(&label, "(a word of 'teredo status'");
    }
}

/// Datagrams, trailers, NATs, nodes, and the reasons in the pictures.
#[test]
fn every_word_of_a_trace_is_explained() {
    use teredo_lab::DiscardReason;
    use teredo_nat::Refusal;
    use teredo_trace::{Kind, NatKind, Role};

    let kinds = Kind::ALL
        .iter()
        .flat_map(|kind| [kind.name(), kind.words()]);
    let nats = [
        NatKind::None,
        NatKind::Cone,
        NatKind::Restricted,
        NatKind::Symmetric,
    ];
    let roles = [
        Role::Client,
        Role::Server,
        Role::Relay,
        Role::Group,
        Role::Unknown,
    ];
    let trailers = [
        "nonce",
        "alternate-address",
        "neighbor-discovery",
        "random-port",
        "unknown",
    ];
    let features = ["cone bit", "time to live", "train", "stall"];
    let words = kinds
        .chain(nats.map(NatKind::name))
        .chain(roles.map(Role::name))
        .chain(trailers)
        .chain(features);
    for word in words {
        assert_explained(word, "(a word of 'teredo trace'");
    }
    for reason in [
        Refusal::NoMapping,
        Refusal::Filtered,
        Refusal::Exhausted,
        Refusal::NoHairpin,
    ] {
        let reason = DiscardReason::from(reason).to_string();
        assert_explained(&reason, "(a word of 'teredo trace': picture)");
    }
}

/// Every setting of `nat_traversal`, and the fields of the lab's JSON.
#[test]
fn the_ways_through_nats_and_the_results_of_the_lab_are_explained() {
    use teredo::client::NatTraversal;

    for way in NatTraversal::ALL {
        assert_explained(way.name(), "(a word of the settings: nat_traversal)");
    }
    assert_explained("nat_traversal", "(a word of the settings");
    for word in LAB {
        assert_explained(word, "(a word of 'teredo lab'");
    }
}

/// The fields of `teredo.lab/1` (site/json.md), and the values of `path`.
const LAB: [&str; 14] = [
    "step",
    "title",
    "ok",
    "at_ms",
    "took_ms",
    "error",
    "facts",
    "steps",
    "failed",
    "path",
    "expected_path",
    "diagram",
    "direct",
    "none",
];

/// `restricted` has another meaning at each place, and each is given.
#[test]
fn a_word_with_several_meanings_has_them_all() {
    for word in ["restricted", "symmetric", "none"] {
        for command in ["status", "probe", "trace", "lab"] {
            assert_explained(word, &format!("of 'teredo {command}'"));
        }
    }
}

/// The kinds of `teredo probe`.
#[test]
fn every_nat_of_the_probe_is_explained() {
    use crate::probe::nat::Kind as NatKind;

    for kind in [
        NatKind::None,
        NatKind::Cone,
        NatKind::Restricted,
        NatKind::PortRestricted,
        NatKind::OpenInput,
        NatKind::Symmetric,
    ] {
        let name = serde_json::to_value(kind).unwrap();
        assert_explained(name.as_str().unwrap(), "(a word of 'teredo probe'");
    }
}
