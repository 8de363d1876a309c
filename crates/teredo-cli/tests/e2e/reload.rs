//! SIGHUP in every role: what changes is in force, what does not change is not touched, and what is wrong changes nothing.

use std::fs;
use std::sync::mpsc;

use rustix::process::Signal;
use teredo_notify::Kind;
use teredo_notify::types::{Phase, Role};

use crate::configured::Configured;
use crate::world::*;

/// N-13, R5991-3.1-03: a reload of the client keeps port, mapping, address and interface, and nobody hears of it, unless
/// it is about them. A new interface has the old address; a new port is a change of the port.
#[test]
fn a_client_keeps_what_it_can() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let socket = world.path("alice.sock");
    let socket_argument = ["--socket", socket.to_str().unwrap()];
    let settings = |more: &str| format!("[client]\nservers = [\"192.0.2.45\"]\n{more}");
    let daemon = Configured::start(&world, &host, "client", &settings(""), &socket_argument);
    let client = Client {
        process: daemon.process,
        socket,
    };
    let daemon = |settings: &str, words: &str| {
        let mark = client.process.mark();
        fs::write(&daemon.file, settings).unwrap();
        client.process.signal(Signal::HUP).unwrap();
        let line = client.process.wait_for_line_after(mark, words, SECOND * 5);
        line.unwrap();
    };
    let before = client.qualified();
    let notifications = client.connect().subscribe(true).unwrap();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for notification in notifications {
            // The test may have ended.
            let _ = told.send(notification);
        }
    });
    let next = || heard.recv_timeout(SECOND * 10).unwrap().unwrap();
    assert_eq!((next().kind, before.role), (Kind::Initial, Role::Client));
    let same = |what: &str| {
        let after = client.until(QUALIFICATION, what, |status| {
            status.state == Phase::Qualified
        });
        assert_eq!(after.port, before.port, "{what}");
        assert_eq!(after.address, before.address, "{what}");
        assert_eq!(after.mapped, before.mapped, "{what}");
        after
    };

    daemon(&settings(""), "no setting has changed");
    daemon(&settings("refresh_interval = 20\n"), "settings reloaded");
    client.until(SECOND * 5, "the interval", |status| {
        status.refresh_ms == Some(20_000)
    });
    same("another refresh interval");
    for (fault, words) in [
        ("nonsense = 1\n", "client.toml:3: unknown key 'nonsense'"),
        ("port = 0\n", "client.toml:3"),
        ("secret_file = \"/nowhere\"\n", "/nowhere"),
        // It exists.
        ("interface = \"eth0\"\n", "interface eth0 exists already"),
    ] {
        daemon(&settings(fault), words);
        same(fault);
    }
    daemon(&settings("interface = \"other\"\n"), "settings reloaded");
    client.until(SECOND * 5, "the interface", |status| {
        status.interface.as_deref() == Some("other")
    });
    same("another interface");
    assert!(heard.try_recv().is_err(), "the port has not changed");

    daemon(&settings("port = 40005\n"), "settings reloaded");
    let changed = next();
    assert_eq!((changed.kind, changed.state.port), (Kind::Change, 40_005));
    client.until(QUALIFICATION, "the new port", |status| {
        status.state == Phase::Qualified && status.port == 40_005
    });
    assert!(heard.try_recv().is_err(), "one change is one notification");

    // Stopped by hand, it stays stopped: another setting is no reason to go online.
    client.connect().stop().unwrap();
    assert_eq!(next().state.port, 0);
    daemon(&settings("refresh_interval = 25\n"), "settings reloaded");
    daemon(
        &settings("refresh_interval = 25\n"),
        "no setting has changed",
    );
    let status = client.status();
    assert_eq!((status.state, status.port), (Phase::Offline, 0));
    assert!(heard.try_recv().is_err(), "nothing has changed");
    client.connect().start().unwrap();
    client.qualified();
}

/// A relay, a server and a firewall reload, too, and a fault ends none of them.
#[test]
fn the_other_roles_reload() {
    let world = World::new(
        teredo_lab::NatKind::PortRestricted,
        teredo_lab::NatKind::PortRestricted,
    );
    let settings = |more: &str| format!("[server]\naddress = \"192.0.2.45\"\n{more}");
    let server = Configured::start(&world, &world.server, "server", &settings(""), &[]);
    server.process.wait_for_line("serving", SECOND * 5).unwrap();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let port = client.qualified().port;
    let mark = server.process.mark();
    server.reload(&settings("relay_rate = 100\n"), "settings reloaded");
    let again = server
        .process
        .wait_for_line_after(mark, "serving", SECOND * 5);
    again.unwrap();
    server.reload(&settings("relay_rate = 0.5\n"), "server.toml:3");
    // Faults that need no socket to show are found before the server in force ends.
    let mark = server.process.mark();
    server.reload(&settings("secondary = \"10.0.0.1\"\n"), "not reloaded");
    server.reload(&settings("secret_file = \"/nowhere\"\n"), "not reloaded");
    let said = server.process.lines().split_off(mark);
    let restarted = said.iter().any(|line| line.contains("serving on"));
    assert!(!restarted, "{said:#?}");
    server.reload(&settings("secondary = \"192.0.2.200\"\n"), "not reloaded");
    client.connect().rebind(None).unwrap();
    client.qualified();
    assert_ne!(client.status().port, port, "the server serves on");

    let relay_host = world.relay_host(std::net::Ipv4Addr::new(198, 51, 100, 77));
    let socket = world.path("relay.sock");
    let settings = |more: &str| format!("[relay]\naddress = \"198.51.100.77\"\n{more}");
    let socket_argument = ["--socket", socket.to_str().unwrap()];
    let relay = Configured::start(
        &world,
        &relay_host,
        "relay",
        &settings(""),
        &socket_argument,
    );
    let open = |port: u16| {
        eventually(SECOND * 10, "an open relay", || {
            let caller = teredo_notify::call::Caller::open(&socket);
            let status = caller.and_then(|mut caller| caller.get_status());
            status.is_ok_and(|status| status.state == Phase::Qualified && status.port == port)
        });
    };
    open(3545);
    relay.reload(&settings("port = 3600\n"), "settings reloaded");
    open(3600);
    relay.reload(&settings("address = 3\n"), "not reloaded");
    relay.reload(&settings("port = 3600\n"), "no setting has changed");
    open(3600);

    let agent_socket = client.socket.to_str().unwrap();
    let settings = |more: &str| format!("[firewall]\n{more}");
    let arguments = ["--socket", agent_socket];
    let agent = Configured::start(&world, &host, "firewall", &settings(""), &arguments);
    client.until(SECOND * 5, "an agent", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    agent.reload(
        &settings("allow_inbound = [\"22/tcp\"]\n"),
        "settings reloaded",
    );
    eventually(SECOND * 5, "the exception", || {
        let set = nft_json(&host, "set inet teredo allowed")
            .unwrap()
            .to_string();
        set.contains("22")
    });
    client.until(SECOND * 5, "the agent again", |status| {
        status.firewall.iter().any(|gate| gate.in_sync)
    });
    agent.reload(&settings("lease = \"soon\"\n"), "firewall.toml:2");
    let set = nft_json(&host, "set inet teredo port").unwrap().to_string();
    assert!(set.contains(&client.status().port.to_string()), "{set}");
}
