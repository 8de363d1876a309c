//! Other programs read our addresses and packets: tshark, Python's `ipaddress` and scapy. We compare their view with
//! ours.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::process::Command;

use serde_json::Value;
use teredo_lab::{Capture, Host, NatKind};

use crate::order::Native;
use crate::world::*;

/// The parts of a Teredo address, as one program reads them: the server, the mapped address and the mapped port.
type Reading = (String, String, Option<u16>);

/// R4380-4-01, R4380-4-02, R4380-4-05, R4380-4-06: every Teredo address on the wire, in headers and prefixes, between
/// clients, their server and a relay, means the same to everybody.
#[test]
fn everybody_reads_the_same_in_every_address() {
    let world = World::new(NatKind::PortRestricted, NatKind::Restricted);
    let Native {
        server: server_host,
        relay: relay_host,
        native: _native,
        address: native,
    } = Native::new(&world);
    let _relay = crate::miredo::relay(&world, &relay_host);
    let captures = [&server_host, &relay_host]
        .map(|host| Capture::start(host.namespace(), host.interface()).unwrap());
    let primary = server_host.ipv4().to_string();
    let server = start(&server_host, "server", &["server", "--address", &primary]);
    server.wait_for_line("serving", SECOND * 5).unwrap();
    world.left.change_mappings().unwrap();
    let [alice, bob] = [
        world.left.host("alice").unwrap(),
        world.right.host("bob").unwrap(),
    ];
    let clients = [&alice, &bob].map(|host| world.client_with(host, &["--server", &primary]));
    let [a, b] = clients.each_ref().map(Client::address);
    for (from, to) in [(&alice, b), (&bob, a), (&alice, native), (&bob, native)] {
        let replies = teredo_lab::ping(from, to, 3, SECOND * 5).unwrap();
        assert_eq!(replies.order.len(), 3, "{} to {to}", from.name());
    }

    let ports: Vec<u16> = clients
        .iter()
        .map(|client| client.status().mapped.unwrap().port())
        .chain([3544])
        .collect();
    let mut seen = BTreeSet::new();
    for (name, capture) in ["server", "relay"].into_iter().zip(&captures) {
        let folder = world.path(name);
        std::fs::create_dir(&folder).unwrap();
        assert_well_formed(capture, &folder, &ports);
        seen.extend(by_tshark(capture, &folder, &ports));
    }
    let addresses: Vec<Ipv6Addr> = seen.iter().map(|(address, _)| *address).collect();
    assert!(addresses.contains(&a) && addresses.contains(&b), "{seen:?}");

    let (python, scapy) = (by_python(&alice, &addresses), by_scapy(&alice, &addresses));
    for (address, tshark) in seen {
        let ours = by_ourselves(&alice, address);
        let (server, mapped, port) = ours.clone();
        assert_eq!(tshark, ours, "tshark of {address}");
        assert_eq!(
            python[&address.to_string()],
            Value::from(vec![server.clone(), mapped.clone()]),
            "ipaddress of {address}"
        );
        assert_eq!(
            scapy[&address.to_string()],
            serde_json::json!([server, mapped, port]),
            "scapy of {address}"
        );
    }
    // And they read the true values.
    for (client, address) in clients.iter().zip([a, b]) {
        let mapped = client.status().mapped.unwrap();
        assert_eq!(
            by_ourselves(&alice, address),
            (
                primary.clone(),
                mapped.ip().to_string(),
                Some(mapped.port())
            )
        );
    }
}

/// The sources and destinations of the inner headers that are Teredo addresses.
fn by_tshark(
    capture: &Capture,
    folder: &std::path::Path,
    ports: &[u16],
) -> Vec<(Ipv6Addr, Reading)> {
    let mut found = Vec::new();
    for side in ["src", "dst"] {
        let name = |suffix: &str| format!("ipv6.{side}{suffix}");
        let [address, server, client, port] = ["", "_ts_ipv4", "_tc_ipv4", "_tc_port"].map(name);
        let rows = tshark(
            capture,
            folder,
            ports,
            &server,
            &[&address, &server, &client, &port],
        );
        for row in rows {
            let [address, server, client, port] = row.try_into().unwrap();
            let reading = (server, client, Some(port.parse().unwrap()));
            found.push((address.parse().unwrap(), reading));
        }
    }
    found
}

fn by_ourselves(host: &Host, address: Ipv6Addr) -> Reading {
    let output = run(
        host,
        teredo().args(["address", "decode", "--json", &address.to_string()]),
    );
    let decoded: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |field: &str| decoded[field].as_str().unwrap().to_owned();
    let port = decoded["mapped_port"].as_u64().unwrap();
    (
        text("server"),
        text("mapped_address"),
        Some(port.try_into().unwrap()),
    )
}

/// `ipaddress` knows the server and the client's address, not its port.
fn by_python(host: &Host, addresses: &[Ipv6Addr]) -> Value {
    python(
        host,
        addresses,
        "import ipaddress
for text in sys.argv[1:]:
    found[text] = [str(part) for part in ipaddress.IPv6Address(text).teredo]",
    )
}

fn by_scapy(host: &Host, addresses: &[Ipv6Addr]) -> Value {
    python(
        host,
        addresses,
        "try:
    from scapy.utils6 import in6_isaddrTeredo, teredoAddrExtractInfo
except ImportError as error:
    sys.exit(f'{error} (package python3-scapy)')
for text in sys.argv[1:]:
    assert in6_isaddrTeredo(text), text
    server, flags, mapped, port = teredoAddrExtractInfo(text)
    found[text] = [server, mapped, port]",
    )
}

/// Debian's Python, which has Debian's modules, and what it found.
fn python(host: &Host, addresses: &[Ipv6Addr], script: &str) -> Value {
    let script = format!("import json, sys\nfound = {{}}\n{script}\nprint(json.dumps(found))");
    let output = run(
        host,
        Command::new("/usr/bin/python3")
            .args(["-c", &script])
            .args(addresses.iter().map(Ipv6Addr::to_string)),
    );
    assert!(
        output.status.success(),
        "python3: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
