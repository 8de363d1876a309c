use super::*;

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

/// The names in the JSON of the status, with those of the NAT, the gateway and the gates, and the values of the first two.
#[test]
fn every_field_of_the_status_is_explained() {
    use teredo_notify::types::{FirewallStatus, GatewayStatus, NatBehaviour, Status};

    let objects = [
        serde_json::to_value(Status::default()),
        serde_json::to_value(NatBehaviour::new("endpoint-independent", "preserving")),
        serde_json::to_value(GatewayStatus::default()),
        serde_json::to_value(FirewallStatus::default()),
    ];
    for object in objects {
        for name in object.unwrap().as_object().unwrap().keys() {
            assert_explained(name, "(a word of 'teredo status'");
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
