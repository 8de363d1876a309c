//! The examples of the documentation site, `site/examples`: each one works as the pages say.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use teredo_lab::{NatKind, ping};

use crate::c::tool;
use crate::dialogue::Dialogue;
use crate::shell::ask;
use crate::world::*;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../site/examples")
        .join(name)
}

fn rules(name: &str) -> String {
    fs::read_to_string(example(name)).unwrap()
}

/// N-16, N-18: the site's two examples of a firewall keep a set in step with the port, and the client waits for the one that
/// gates.
#[test]
fn firewalls_of_ones_own_keep_a_set_in_step() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    nft(
        &host,
        "add table inet filter; add set inet filter teredo_ports { type inet_service; }",
    );
    let alice = world.client(&host, &[]);
    alice.qualified();
    let holds = |port: u16| {
        eventually(SECOND, "the port in the set", || {
            open_ports(&host) == [u64::from(port)]
        });
    };
    tool("jq", "jq");
    // What the script starts would outlive it: its process group ends with its input.
    let grouped = [
        "sh",
        "-c",
        "exec 3<&0; (cat <&3 >/dev/null; kill 0) & exec sh \"$0\"",
    ];
    for (program, package, words, file, gates) in [
        ("python3", "python3", &[][..], "gate.py", 1),
        ("setsid", "util-linux", &grouped[..], "follow.sh", 0),
    ] {
        let mut command = tool(program, package);
        command.args(words).arg(example(file));
        let program = Dialogue::start(&host, &alice.socket, &mut command);
        let first = alice.status().port;
        program.says(&format!("port {first}"));
        holds(first);
        let firewall = alice.status().firewall;
        assert_eq!(firewall.len(), gates, "{firewall:?}");

        let second = ask(&host, &alice, &["rebind"]).port();
        if gates == 1 {
            assert_eq!(open_ports(&host), [u64::from(second)]);
        }
        program.says(&format!("port {second}"));
        holds(second);

        assert_eq!(ask(&host, &alice, &["stop"]).code, Some(0));
        program.says("port 0");
        eventually(SECOND, "an empty set", || open_ports(&host).is_empty());
        assert_eq!(ask(&host, &alice, &["start"]).code, Some(0));
        let third = ask(&host, &alice, &["port"]).port();
        program.says(&format!("port {third}"));
        holds(third);
    }
}

/// A machine with both roles, that drops all but what the example lets through, connects a client to an IPv6 host: by
/// masquerading without a route, and by a route without masquerading, whoever begins.
#[test]
fn a_server_with_a_relay_connects_its_clients() {
    const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
    let world = World::dual_stack(NatKind::PortRestricted);
    let native = world.native(NATIVE);
    // The addresses of the example.
    let addresses = [1, 2, 3].map(|last| Ipv4Addr::new(192, 0, 2, last));
    let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let both = world.internet.native_host("both", &addresses, own).unwrap();
    both.namespace()
        .set_sysctl("net/ipv6/conf/all/forwarding", "1")
        .unwrap();
    nft(&both, &rules("server.nft"));
    nft(&both, &rules("masquerade.nft"));
    let server = start(&both, "server", &["server", "--address", "192.0.2.1"]);
    server.wait_for_line("serving", SECOND * 5).unwrap();
    let _relay = world.relay_with(
        &both,
        &["--address", "192.0.2.3", "--serve", "2001:db8::/32"],
    );
    let _agent = world.agent(&both, &[]);
    let host = world.left.host("alice").unwrap();
    let alice = world.client_with(&host, &["--server", "192.0.2.1"]);
    let address = alice.address();

    let pings = |from, to| {
        let replies = ping(from, to, 3, SECOND * 5).unwrap();
        assert!(replies.are_all_in_order(3), "{replies:?}");
    };
    pings(&host, NATIVE);

    nft(&both, "delete table ip6 teredo_nat");
    let prefix = Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0);
    world.internet.announce(prefix, 32, &both).unwrap();
    pings(&native, address);
    pings(&host, NATIVE);
}
