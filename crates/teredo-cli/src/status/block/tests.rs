use std::collections::BTreeMap;

use teredo_notify::types::{Counters, Peers};

use super::*;

fn at(rfc3339: &str) -> SystemTime {
    humantime::parse_rfc3339_weak(rfc3339).expect("a time")
}

fn block(status: &Status) -> String {
    let coloured = Block::new(status, at("2026-11-22T13:05:07Z"), None).to_string();
    anstream::adapter::strip_str(&coloured).to_string()
}

fn qualified() -> Status {
    Status {
        state: Phase::Qualified,
        since: Some("2026-11-22T10:52:00.000000Z".into()),
        port: 40001,
        sequence: 3,
        address: Some(
            "2001:0:4136:e378:8000:63bf:3fff:fdd2"
                .parse()
                .expect("an address"),
        ),
        interface: Some("teredo".into()),
        server: Some("teredo.example.net".into()),
        server_address: Some("65.54.227.120".parse().expect("an address")),
        local: Some("192.168.1.2:40001".parse().expect("an address")),
        mapped: Some("192.0.2.45:40000".parse().expect("an address")),
        nat: Some("restricted".into()),
        refresh_ms: Some(28_000),
        peers: Peers {
            total: 9,
            trusted: 7,
            capacity: 65_536,
        },
        counters: Counters {
            rx_bytes: 13_002_342,
            tx_bytes: 3_250_586,
            ..Counters::default()
        },
        drops: BTreeMap::from([
            ("malformed".into(), 1),
            ("mapping_mismatch".into(), 3),
            ("too_big".into(), 0),
        ]),
        firewall: vec![
            FirewallStatus {
                pid: Some(812),
                command: Some("teredo".into()),
                in_sync: true,
                sequence: Some(3),
                settle_us: Some(6_100),
                backend: Some("firewalld (zone public)".into()),
                ..FirewallStatus::default()
            },
            FirewallStatus {
                command: Some("\x1b[31mslow".into()),
                sequence: Some(2),
                missed: 4,
                ..FirewallStatus::default()
            },
        ],
        ..Status::default()
    }
}

#[test]
fn a_qualified_client_in_full() {
    assert_eq!(
        block(&qualified()),
        "\
● teredo  qualified for 2h 13m    server teredo.example.net (65.54.227.120)
     Address: 2001:0:4136:e378:8000:63bf:3fff:fdd2
  Local port: 40001/udp on 192.168.1.2    Mapped: 192.0.2.45:40000
         NAT: restricted
     Refresh: every 28s
       Peers: 9 (7 trusted)    Rx 12.4 MiB  Tx 3.1 MiB
       Drops: 4 (mapping_mismatch 3, malformed 1)
    Firewall: teredo (pid 812) in sync, 6ms after the last change, by firewalld (zone public)
              ?[31mslow behind: confirmed 2 of 3, 4 deadlines missed"
    );
}

#[test]
fn a_stopped_client() {
    let status = Status {
        reason: Some("stopped".into()),
        ..Status::default()
    };
    assert_eq!(
        block(&status),
        "\
● teredo  offline
      Reason: stopped
  Local port: none
       Peers: 0 (0 trusted)    Rx 0 B  Tx 0 B
       Drops: none
    Firewall: no agent connected"
    );
}

#[test]
fn the_state_is_coloured_and_a_clock_that_went_back_does_no_harm() {
    let text = Block::new(&qualified(), at("2026-11-22T00:00:00Z"), None).to_string();
    assert!(text.starts_with("\u{1b}[32m●"), "{text:?}");
    assert!(!text.contains(" for "), "{text:?}");
}

/// Problems come first, whatever else there is to say.
#[test]
fn problems_come_first() {
    let mut status = qualified();
    status.problems = vec!["nobody closes it".into(), "the second".into()];
    status.firewall[0].in_sync = false;
    status.firewall[0].trouble = Some("the set is gone".into());
    let text = block(&status);
    let mut lines = text.lines().skip(1);
    assert_eq!(lines.next(), Some("     Problem: nobody closes it"));
    assert_eq!(lines.next(), Some("     Problem: the second"));
    assert!(
        text.contains("teredo (pid 812) not in sync: see the problem above"),
        "{text}"
    );
}

/// Random ports are in the status of a client that has some, and the firewall that opens none with its reason.
#[test]
fn random_ports_are_counted() {
    let mut status = qualified();
    status.random_ports = 2;
    status.firewall[0].random_trouble = Some("the set is full\n".into());
    let text = block(&status);
    assert!(text.contains("\nRandom ports: 2 open\n"), "{text}");
    assert!(
        text.contains("by firewalld (zone public), no random ports: the set is full?\n"),
        "{text}"
    );
    status.role = Role::Relay;
    assert!(!block(&status).contains("no random ports"));
}

#[test]
fn the_routers_mapping_has_a_line() {
    let row = |gateway: GatewayStatus| {
        let status = Status {
            gateway: Some(gateway),
            ..qualified()
        };
        let text = block(&status);
        let line = text.lines().find(|line| line.contains("Router:"));
        line.map(|line| line.trim().to_owned())
    };
    let gateway = |state: &str| GatewayStatus {
        state: state.into(),
        protocol: Some("nat-pmp".into()),
        external: "192.0.2.45:40000".parse().ok(),
        reason: Some("the router\x1b does not answer".into()),
        ..GatewayStatus::default()
    };
    assert_eq!(
        row(gateway("mapped")).as_deref(),
        Some("Router: mapped to 192.0.2.45:40000 by NAT-PMP")
    );
    let nested = GatewayStatus {
        nested: Some(true),
        ..gateway("mapped")
    };
    assert_eq!(
        row(nested).as_deref(),
        Some("Router: mapped to 192.0.2.45:40000 by NAT-PMP, behind another NAT")
    );
    let refused = row(gateway("refused")).expect("a line");
    assert!(
        refused.starts_with("Router: not mapped: the router"),
        "{refused}"
    );
    assert!(!refused.contains('\x1b'));
    assert_eq!(row(gateway("idle")), None);
}
