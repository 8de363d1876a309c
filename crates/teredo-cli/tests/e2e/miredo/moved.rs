//! Machines with `miredo` that are moved over, one after the other, with `teredo config import-miredo`.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use teredo_lab::{Host, NatKind, Process};

use super::all_answered;
use super::daemon::{Miredo, appears};
use crate::shell::traces;
use crate::world::*;

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);

/// Server, relay and client of `miredo`, with a native host that the client and it reach each other with. Each is
/// exchanged for ours, with its own configuration translated; after each, the two reach each other.
#[test]
fn server_relay_and_client_are_moved_one_by_one() {
    let world = World::dual_stack(NatKind::PortRestricted);
    let relay_host = world.relay_host(RELAY);
    let native = world.native(NATIVE);
    let alice = world.left.host("alice").unwrap();
    let server = Miredo::server(&world, &world.server);
    let relay = Miredo::relay(&world, &relay_host);
    let client = Miredo::client(&world, &alice);
    let meet = |context: &str| {
        let address = appears(&alice);
        eventually(SECOND * 5, "the default route", || {
            let [_, _, routes, ..] = &traces(&alice)[..] else {
                unreachable!("the traces of a host")
            };
            routes.iter().any(|route| route.starts_with("default"))
        });
        // A relay that has just started asks the client for a bubble, and drops what comes before the answer.
        eventually(SECOND * 5, "the way to the native host", || {
            let replies = teredo_lab::ping(&alice, NATIVE, 1, SECOND).unwrap();
            replies.are_all_in_order(1)
        });
        all_answered(&alice, NATIVE, context);
        all_answered(&native, address, context);
    };
    meet("all of them miredo");

    drop(server);
    let _server = moved(&world, &world.server, "server", "serving on");
    meet("our server");
    drop(relay);
    let _relay = moved(&world, &relay_host, "relay", "relaying on");
    meet("our server and relay");
    drop(client);
    let _client = moved(&world, &alice, "client", "qualified");
    meet("all of them ours");
}

/// Translates the configuration of the `miredo` that ran on `host`, and starts ours with it.
#[track_caller]
fn moved(world: &World, host: &Host, role: &str, ready: &str) -> Process {
    let [old, new] =
        ["conf", "toml"].map(|suffix| world.path(&format!("{}.{suffix}", host.name())));
    let import = run(host, teredo().args(["config", "import-miredo"]).arg(old));
    let remarks = String::from_utf8(import.stderr).unwrap();
    // A client of ours is dormant beside native IPv6.
    let other = |line: &&str| !line.contains("native_ipv6");
    assert_eq!(remarks.lines().find(other), None, "{role}");
    fs::write(&new, import.stdout).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_teredo"));
    command
        .arg("--socket")
        .arg(world.path(&format!("{role}.sock")));
    command.arg("--config").arg(new).arg(role);
    let process = Process::spawn(host.namespace(), role, &mut command).unwrap();
    process.wait_for_line(ready, QUALIFICATION).unwrap();
    process
}
