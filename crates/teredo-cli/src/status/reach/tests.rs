use teredo_notify::types::{GatewayStatus, NatBehaviour};

use super::*;

fn behind_symmetric(ports: &str, mode: &str) -> Status {
    Status {
        state: match mode {
            "rfc4380" => Phase::Offline,
            _ => Phase::Qualified,
        },
        nat: Some("symmetric".into()),
        nat_behaviour: Some(NatBehaviour::new("address-and-port-dependent", ports)),
        nat_traversal: Some(mode.into()),
        ..Status::default()
    }
}

fn lines(status: &Status) -> Vec<String> {
    let lines = Reach::of(status).unwrap().lines().into_iter();
    lines
        .map(|(label, text)| format!("{label}: {text}"))
        .collect()
}

/// R6081-3-01: status says who is reached from behind a symmetric NAT, and who is not.
#[test]
fn other_ports_reach_those_that_do_not_filter_by_port() {
    assert_eq!(
        lines(&behind_symmetric("other", "rfc6081")),
        [
            "Reached: peers without a NAT or behind cone, restricted, igd; native hosts through relays of this program",
            "Perhaps: peers behind port-restricted (most home routers), open-input, if this NAT counts its ports up",
            ": peers behind symmetric-preserving, if the peer sends first, and this NAT counts its ports up",
            "Not reached: peers behind symmetric, symmetric-sequential, address-symmetric, igd-symmetric; peers with \
             miredo; native hosts through other relays",
        ]
    );
}

/// Eager clients guess the ports of each other.
#[test]
fn eager_clients_mostly_reach_port_restricted_peers() {
    let lines = lines(&behind_symmetric("other", "eager"));
    let guessed = ": peers behind port-restricted (most home routers), open-input, mostly, by guessed ports, if the peer \
                   is eager, too";
    assert!(
        lines.iter().any(|line| line.ends_with(guessed)),
        "{lines:#?}"
    );
}

/// RFC 6081 §3.3: a NAT that keeps ports is reached by all that have a foreseen port.
#[test]
fn kept_ports_reach_all_but_random_ones() {
    assert_eq!(
        lines(&behind_symmetric("preserving", "rfc6081")),
        [
            "Reached: peers without a NAT or behind cone, restricted, port-restricted (most home routers), open-input, \
             symmetric-sequential, symmetric-preserving, igd; native hosts through relays of this program",
            "Not reached: peers behind symmetric, address-symmetric, igd-symmetric; peers with miredo; native hosts \
             through other relays",
        ]
    );
}

/// RFC 6081 §3.2: the port that a router gave is open to all, and other destinations see another one.
#[test]
fn a_given_port_reaches_those_that_do_not_filter_by_port() {
    let mut status = behind_symmetric("preserving", "rfc6081");
    status.mapped = Some("192.0.2.1:40001".parse().unwrap());
    status.gateway = Some(GatewayStatus {
        external: status.mapped,
        ..GatewayStatus::default()
    });
    let lines = lines(&status);
    assert!(
        lines[0].starts_with(
            "Reached: peers without a NAT or behind cone, restricted, igd, igd-symmetric;"
        ),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("Not reached: peers behind port-restricted (most home routers),"),
        "{lines:#?}"
    );
}

/// R4380-5.2.1-11: without the extensions nobody is reached, native hosts neither.
#[test]
fn nobody_is_reached_by_rfc4380_alone() {
    let status = behind_symmetric("other", "rfc4380");
    let reach = Reach::of(&status).unwrap();
    assert!(reach.peers.values().all(|outlook| *outlook == Outlook::No));
    assert_eq!(reach.native, Outlook::No);
    let lines = lines(&status);
    assert!(lines[0].starts_with("Not reached: nobody:"), "{lines:#?}");
}

/// A client without a service, or with one mapping, has no such list.
#[test]
fn nothing_is_said_of_other_nats() {
    let mut status = behind_symmetric("other", "rfc6081");
    status.state = Phase::Offline;
    assert_eq!(Reach::of(&status), None);
    status.state = Phase::Qualified;
    status.nat = Some("restricted".into());
    assert_eq!(Reach::of(&status), None);
}
