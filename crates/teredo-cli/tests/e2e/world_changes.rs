//! Other programs change what a node has set up: it mends that, or says what is wrong.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::Signal;
use teredo_lab::{Host, Process, ping};
use teredo_notify::types::{Phase, Status};

use crate::world::*;

/// The time within which a changed interface is right, or reported.
const BOUND: Duration = Duration::from_secs(2);

#[track_caller]
fn ip(host: &Host, arguments: &str) -> String {
    let output = run(host, Command::new("ip").args(arguments.split(' ')));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the first fault of the interface of a qualified client, read from the kernel.
fn wrong(host: &Host, interface: &str, status: &Status) -> Option<String> {
    let Some(address) = status.address else {
        return Some("the status has no address".to_owned());
    };
    let link = ip(host, &format!("-o link show dev {interface}"));
    if !link.contains(",UP") || !link.contains("mtu 1280") {
        return Some(link);
    }
    let addresses = ip(host, &format!("-6 -o address show dev {interface}"));
    if !addresses.contains(&format!("{address}/128")) {
        return Some(format!("addresses: {addresses}"));
    }
    // There is none while the interface is being mended.
    let get = [
        "-6",
        "route",
        "get",
        "2001:db8::1",
        "from",
        &address.to_string(),
    ]
    .map(str::to_owned);
    let route = run(host, Command::new("ip").args(get));
    let route = String::from_utf8_lossy(&route.stdout).into_owned();
    let route_to_clients = ip(host, &format!("-6 route show 2001::/32 dev {interface}"));
    let default = ip(host, &format!("-6 route show default dev {interface}"));
    let right = route.contains(interface) && !route_to_clients.is_empty() && !default.is_empty();
    (!right).then(|| format!("routes: {route}{route_to_clients}{default}"))
}

#[track_caller]
fn is_right(client: &Client, host: &Host, interface: &str, after: &str) {
    let mut last = None;
    eventually(BOUND, after, || {
        let status = client.status();
        last = wrong(host, interface, &status);
        status.state == Phase::Qualified && last.is_none()
    });
}

/// R4380-5.1.2-02: flushed, deleted, set down or shrunk: the interface is right again within two seconds.
#[test]
fn a_changed_interface_is_mended() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut client = world.client(&host, &[]);
    for (number, commands) in [
        &["-6 address flush dev teredo"][..],
        &["-6 route flush dev teredo"],
        &["-6 route delete default dev teredo"],
        &["link set teredo down", "link set teredo up"],
        &["link set teredo down"],
        &["link set teredo mtu 1279", "link set teredo mtu 1280"],
        &["link set teredo mtu 1279"],
        &["-6 rule delete priority 3544"],
    ]
    .into_iter()
    .enumerate()
    {
        // More mends would be a quarrel.
        if number % 3 == 0 {
            client.restart(&host, &["--server", "192.0.2.45"]);
        }
        client.qualified();
        is_right(&client, &host, "teredo", "the start");
        for command in commands {
            ip(&host, command);
        }
        is_right(&client, &host, "teredo", &commands.join(", "));
        assert_eq!(client.status().reason, None);
    }
}

/// The client reports a fault that it cannot mend, in state and reason, and recovers by itself.
#[test]
fn an_interface_without_ipv6_is_reported() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let sysctl = "net/ipv6/conf/teredo/disable_ipv6";
    host.namespace().set_sysctl(sysctl, "1").unwrap();
    let status = client.until(BOUND, "a client that is not qualified", |status| {
        status.state == Phase::Offline
    });
    assert_eq!((status.address, status.mapped), (None, None));
    let reason = status.reason.unwrap();
    assert!(
        reason.contains("`sysctl -w net.ipv6.conf.teredo.disable_ipv6=0`"),
        "{reason}"
    );
    assert_ne!(status.port, 0, "the port is kept");
    host.namespace().set_sysctl(sysctl, "0").unwrap();
    is_right(&client, &host, "teredo", "IPv6 is enabled again");
}

/// A network namespace of its own, for as long as this lives.
struct Elsewhere(Child);

impl Elsewhere {
    fn new(host: &Host) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "1000"]);
        let child = host.namespace().spawn(&mut command).unwrap();
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let id = child.id().to_string();
        let own = run(host, Command::new("readlink").arg("/proc/self/ns/net"));
        let own = String::from_utf8(own.stdout).unwrap();
        eventually(SECOND * 5, "another namespace", || {
            namespace(&id).is_some_and(|there| there.to_string_lossy() != own.trim())
                && fs::read_to_string(format!("/proc/{id}/comm"))
                    .is_ok_and(|name| name.trim() == "sleep")
        });
        Self(child)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An interface that has left is no interface to be qualified on, and nothing is delivered there: no firewall of this
/// host protects the one where it is.
#[test]
fn an_interface_in_another_namespace_is_reported() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let address = client.qualified().address.unwrap();
    let bob_host = world.right.host("bob").unwrap();
    let bob = world.client(&bob_host, &[]);
    bob.qualified();
    assert!(
        ping(&bob_host, address, 1, SECOND * 5)
            .unwrap()
            .are_all_in_order(1)
    );
    let elsewhere = Elsewhere::new(&host);
    let id = elsewhere.0.id().to_string();
    ip(&host, &format!("link set teredo netns {id}"));
    let there = ["-t", &id, "-n", "ip", "link", "set", "teredo", "up"];
    assert!(
        run(&host, Command::new("nsenter").args(there))
            .status
            .success()
    );
    let status = client.until(BOUND, "a client that is not qualified", |status| {
        status.state == Phase::Offline
    });
    assert_eq!(status.address, None);
    let reason = status.reason.clone().unwrap();
    assert!(reason.contains("not in this network namespace"), "{reason}");
    let refused = |status: &Status| status.drops.get("host_refused").copied().unwrap_or(0);
    let before = refused(&status);
    let lost = ping(&bob_host, address, 3, SECOND).unwrap();
    assert!(lost.order.is_empty(), "{lost:?}");
    client.until(SECOND * 5, "packets that are refused", |status| {
        refused(status) > before
    });
}

/// A renamed interface is followed by its index, and reported under its name.
#[test]
fn a_renamed_interface_is_followed() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    // Kernels before 6.2 rename no interface that is up.
    if !run(
        &host,
        Command::new("ip").args(["link", "set", "teredo", "name", "other"]),
    )
    .status
    .success()
    {
        ip(&host, "link set teredo down");
        ip(&host, "link set teredo name other");
    }
    client.until(BOUND, "the new name", |status| {
        status.interface.as_deref() == Some("other")
    });
    is_right(&client, &host, "other", "the new name");
    ip(&host, "-6 address flush dev other");
    is_right(&client, &host, "other", "a flush");
}

/// A network manager that undoes each mend is met with growing pauses, and named.
#[test]
fn a_quarrel_about_the_interface_is_bounded_and_named() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let script = "ip -6 monitor address dev teredo | while read line; do case \"$line\" in *2001:0:*) ip -6 address flush \
                  dev teredo; esac; done";
    let manager = Process::spawn(
        host.namespace(),
        "manager",
        // Both processes of the script end with it.
        Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--", "sh", "-c"])
            .arg(script),
    )
    .unwrap();
    // The first blow; from then on each mend is undone.
    let flush = || ip(&host, "-6 address flush dev teredo");
    flush();
    let status = client.until(SECOND * 20, "the quarrel by name", |status| {
        let reason = status.reason.as_deref().unwrap_or_default();
        if !reason.contains("another program keeps changing interface teredo") {
            flush();
        }
        reason.contains("systemd-networkd") && status.state == Phase::Offline
    });
    assert_eq!(status.address, None);
    let mends = || {
        let lines = client.process.lines();
        lines
            .iter()
            .filter(|line| line.contains("and is mended"))
            .count()
    };
    let before = mends();
    let wait = std::time::Instant::now();
    eventually(SECOND * 10, "eight seconds", || wait.elapsed() > SECOND * 8);
    assert!(mends() - before <= 4, "{} mends in 8 s", mends() - before);
    manager.kill().unwrap();
    client.until(SECOND * 40, "a qualified client", |status| {
        status.state == Phase::Qualified && status.address.is_some()
    });
}

/// A relay's route is restored as well.
#[test]
fn a_relays_route_is_mended() {
    let (world, _server) = World::with_server();
    let host = world.relay_host(Ipv4Addr::new(198, 51, 100, 77));
    let relay = world.relay(&host, &[]);
    for command in [
        "-6 route delete 2001::/32 dev teredo",
        "link set teredo down",
    ] {
        ip(&host, command);
        eventually(BOUND, command, || {
            let route = run(
                &host,
                Command::new("ip").args("-6 route show 2001::/32 dev teredo".split(' ')),
            );
            !route.stdout.is_empty() && relay.status().state == Phase::Qualified
        });
    }
}

/// An answer from the Teredo address leaves by the tunnel although a router without an Internet is preferred, and the
/// status says so.
#[test]
fn a_preferred_default_route_is_named() {
    const PRIVATE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5);
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    let address = client.address();
    let sysctl = "net/ipv6/conf/eth0/disable_ipv6";
    host.namespace().set_sysctl(sysctl, "0").unwrap();
    ip(&host, &format!("address add {PRIVATE}/64 dev eth0 nodad"));
    ip(
        &host,
        "-6 route add default via fe80::1 dev eth0 metric 1024",
    );
    let status = client.until(SECOND * 5, "the word about the route", |status| {
        status.reason.is_some()
    });
    assert_eq!(status.state, Phase::Qualified);
    let reason = status.reason.unwrap();
    assert!(reason.contains("IPv6 leaves by eth0"), "{reason}");
    let route = ip(&host, &format!("-6 route get 2001:db8::7 from {address}"));
    assert!(route.contains("dev teredo"), "{route}");
    ip(&host, "-6 route delete default via fe80::1 dev eth0");
    client.until(SECOND * 5, "no word any more", |status| {
        status.reason.is_none()
    });
    client.process.terminate(SECOND * 5).unwrap();
    assert!(!ip(&host, "-6 rule show").contains("3544"));
}

/// A killed client's rule is in no one's way.
#[test]
fn the_rule_of_a_killed_client_is_taken_over() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let mut client = world.client(&host, &[]);
    client.qualified();
    client.restart(&host, &["--server", "192.0.2.45"]);
    client.qualified();
    is_right(&client, &host, "teredo", "a start after kill -9");
    let rules = ip(&host, "-6 rule show");
    assert_eq!(rules.matches("3544:").count(), 1, "{rules}");
}

/// How often the threads of a process have slept.
fn sleeps(process: &Process) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of_thread = |thread: fs::DirEntry| {
        // A thread may have ended meanwhile.
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads
        .filter_map(|thread| of_thread(thread.unwrap()))
        .sum()
}

/// Fifty thousand routes to elsewhere wake no role up more than a few times, and no client asks its server again.
#[test]
fn foreign_routes_cost_nothing() {
    let (world, server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let relay_host = world.relay_host(Ipv4Addr::new(198, 51, 100, 77));
    let relay = world.relay(&relay_host, &[]);
    let batch = world.path("routes");
    let burst: String = (0..50_000)
        .map(|n| {
            format!(
                "route replace blackhole 10.{}.{}.0/24\n",
                n / 256 % 256,
                n % 256
            )
        })
        .collect();
    fs::write(&batch, burst).unwrap();
    for (host, process) in [
        (&host, &client.process),
        (&relay_host, &relay.process),
        (&world.server, &server),
    ] {
        let (lines, before) = (process.lines().len(), sleeps(process));
        let batch = batch.to_str().unwrap();
        ip(host, &format!("-batch {batch}"));
        let woken = sleeps(process) - before;
        println!("{}: woken {woken} times", process.name());
        assert!(woken <= 100, "{}: {woken}", process.name());
        let new = process.lines()[lines..].join("\n");
        assert!(!new.contains("the network changed"), "{new}");
    }
    assert_eq!(client.status().state, Phase::Qualified);
}

/// SIGUSR1 prints the counters, SIGHUP reads the settings again, and neither ends any
/// role, under nohup(1) or not.
#[test]
fn signals_mean_the_same_in_every_role() {
    let (world, server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let client = world.client(&host, &[]);
    client.qualified();
    let agent = world.agent(&host, &[]);
    client.until(SECOND * 5, "an agent", |status| !status.firewall.is_empty());
    let relay_host = world.relay_host(Ipv4Addr::new(198, 51, 100, 77));
    let relay = world.relay(&relay_host, &[]);
    for process in [&client.process, &relay.process, &server, &agent] {
        process.signal(Signal::HUP).unwrap();
        process
            .wait_for_line("no setting has changed", SECOND * 5)
            .unwrap();
    }
    for process in [&client.process, &relay.process, &server] {
        process.signal(Signal::USR1).unwrap();
        process.wait_for_line("dropped", SECOND * 5).unwrap();
    }
    agent.signal(Signal::USR1).unwrap();
    assert_eq!(client.status().state, Phase::Qualified);
    assert_eq!(relay.status().state, Phase::Qualified);

    client.process.terminate(SECOND * 5).unwrap();
    let mut command = Command::new("nohup");
    command.args([
        env!("CARGO_BIN_EXE_teredo"),
        "client",
        "--server",
        "192.0.2.45",
    ]);
    command
        .args(["--config", "/dev/null", "--socket"])
        .arg(&client.socket);
    let process = Process::spawn(host.namespace(), "client", &mut command).unwrap();
    let client = Client {
        process,
        socket: client.socket,
    };
    client.qualified();
    client.process.signal(Signal::HUP).unwrap();
    // If the signal had ended it, it could not answer this.
    client.connect().rebind(None).unwrap();
    client.qualified();
}
