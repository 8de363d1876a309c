use teredo_notify::types::{
    CarriedPackets, Counters, DataPath, FirewallStatus, Notifications, Peers, PortChanges,
};

use super::*;

fn client() -> Status {
    Status {
        version: "1.2.3".into(),
        state: Phase::Qualified,
        uptime_ms: 61_500,
        port: 40_001,
        random_ports: 2,
        port_blocks: 1,
        bubble_bursts: 3,
        sequence: 3,
        protected: Some(true),
        problems: vec!["one".into()],
        mapped: Some("198.51.100.7:40000".parse().expect("an address")),
        refresh_ms: Some(8000),
        peers: Peers {
            total: 9,
            trusted: 7,
            capacity: 4096,
        },
        counters: Counters {
            rx_packets: 5,
            rx_bytes: 500,
            tx_packets: 6,
            tx_bytes: 600,
        },
        data_path: DataPath {
            in_use: Carrier::Kernel,
            packets: CarriedPackets { kernel: 9, user: 2 },
            counters: [("tun_rx_calls".to_owned(), 4)].into(),
            ..DataPath::default()
        },
        drops: [("mapping_mismatch".to_owned(), 2)].into(),
        firewall: vec![
            FirewallStatus {
                in_sync: true,
                settle_us: Some(740),
                ..FirewallStatus::default()
            },
            FirewallStatus {
                settle_us: Some(1500),
                ..FirewallStatus::default()
            },
        ],
        notifications: Notifications {
            changes: PortChanges {
                add: 1,
                change: 2,
                delete: 0,
            },
            subscribers: 3,
            missed: 1,
            departed: false,
        },
        ..Status::default()
    }
}

/// The samples alone, without the drops.
fn samples(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter(|line| !line.starts_with("teredo_drops"))
        .collect()
}

#[test]
fn a_client_in_full() {
    let text = of_status(&client());
    assert_eq!(
        samples(&text),
        [
            "teredo_build_info{role=\"client\",version=\"1.2.3\"} 1",
            "teredo_uptime_seconds 61.5",
            "teredo_state{state=\"offline\"} 0",
            "teredo_state{state=\"probe\"} 0",
            "teredo_state{state=\"dormant\"} 0",
            "teredo_state{state=\"qualified\"} 1",
            "teredo_problems 1",
            "teredo_limited 0",
            "teredo_protected 1",
            "teredo_local_port 40001",
            "teredo_mapped_port 40000",
            "teredo_random_ports 2",
            "teredo_port_blocks_total 1",
            "teredo_bubble_bursts_total 3",
            "teredo_port_sequence 3",
            "teredo_port_changes_total{kind=\"add\"} 1",
            "teredo_port_changes_total{kind=\"change\"} 2",
            "teredo_port_changes_total{kind=\"delete\"} 0",
            "teredo_refresh_interval_seconds 8.0",
            "teredo_peers{state=\"trusted\"} 7",
            "teredo_peers{state=\"other\"} 2",
            "teredo_peers_limit 4096",
            "teredo_udp_datagrams_total{direction=\"rx\"} 5",
            "teredo_udp_datagrams_total{direction=\"tx\"} 6",
            "teredo_udp_bytes_total{direction=\"rx\"} 500",
            "teredo_udp_bytes_total{direction=\"tx\"} 600",
            "teredo_data_path_total{counter=\"tun_rx_calls\"} 4",
            "teredo_data_path_in_use{path=\"kernel\"} 1",
            "teredo_data_path_in_use{path=\"user\"} 0",
            "teredo_data_path_packets_total{path=\"kernel\"} 9",
            "teredo_data_path_packets_total{path=\"user\"} 2",
            "teredo_subscribers 3",
            "teredo_gates{state=\"in_sync\"} 1",
            "teredo_gates{state=\"behind\"} 1",
            "teredo_gate_misses_total 1",
            "teredo_gate_settle_seconds 0.0015",
            "teredo_firewall_departed 0",
        ]
    );
    let unit = "# HELP teredo_udp_bytes Payload of the UDP datagrams.\n# TYPE teredo_udp_bytes counter\n\
                # UNIT teredo_udp_bytes bytes\n";
    assert!(text.contains(unit), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

/// An alert on a counter that appears with its first drop would miss that drop.
#[test]
fn every_reason_is_there() {
    let text = of_status(&client());
    for reason in DropReason::ALL {
        let count = u64::from(reason.name() == "mapping_mismatch") * 2;
        let sample = format!("\nteredo_drops_total{{reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&sample), "{sample}");
    }
}

#[test]
fn a_server_has_what_a_server_has() {
    let status = Status {
        role: Role::Server,
        data_path: DataPath {
            counters: [("advertisements", 7), ("forwarded", 3), ("to_native", 2)]
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
            ..DataPath::default()
        },
        known_clients: Some(12),
        reason: Some("no way out".into()),
        lanes: vec![Lane::default(); 2],
        ..Status::default()
    };
    let text = of_status(&status);
    for sample in [
        "teredo_limited 1\n",
        "teredo_server_known_clients 12\n",
        "teredo_lane_datagrams_total{lane=\"1\",direction=\"tx\"} 0\n",
        "teredo_build_info{role=\"server\",",
        "teredo_server_replies_total{kind=\"advertisement\"} 7\n",
        "teredo_server_replies_total{kind=\"echo_reply\"} 0\n",
        "teredo_server_forwarded_total{to=\"client\"} 3\n",
        "teredo_server_forwarded_total{to=\"internet\"} 2\n",
        "teredo_data_path_total{counter=\"advertisements\"} 7\n",
    ] {
        assert!(text.contains(sample), "{sample} in {text}");
    }
    for absent in [
        "teredo_gates",
        "teredo_local_port",
        "teredo_peers",
        "teredo_lane_peers",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

/// A status comes from another process, which may be of another version, or an impostor of this user.
#[test]
fn foreign_names_are_bounded_and_quoted() {
    let mut status = client();
    status.version = "\u{1b}[2J\n\"} 1\nx".into();
    for number in 0..10_000 {
        status.drops.insert(format!("z{number}"), 1);
        status.data_path.counters.insert(format!("z{number}"), 1);
    }
    let text = of_status(&status);
    assert!(!text.contains('\u{1b}'));
    let info = text
        .lines()
        .find(|line| line.starts_with("teredo_build_info"));
    let expected = "teredo_build_info{role=\"client\",version=\"?[2J?\\\"} 1?x\"} 1";
    assert_eq!(info, Some(expected));
    assert!(text.lines().count() < 700, "{}", text.lines().count());
}
