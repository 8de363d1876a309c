//! Debian's two daemons: how they are configured, started and ended.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use teredo::wire::PORT;
use teredo_lab::{Host, Process, until};

use crate::world::*;

/// The tunnel interface of the client, the same as that of ours.
pub(super) const INTERFACE: &str = "teredo";

/// Either daemon: several processes in a namespace of process IDs of their own, which end with this.
pub(crate) struct Miredo {
    /// `unshare`; its child is the first process of the namespace.
    process: Process,
}

impl Miredo {
    /// Starts the server on a host with two addresses, and waits until it is there.
    pub(crate) fn server(world: &World, host: &Host) -> Self {
        let addresses = host.addresses().into_iter().filter(IpAddr::is_ipv4);
        let mut configuration = String::new();
        for (address, name) in addresses.zip(["ServerBindAddress", "ServerBindAddress2"]) {
            configuration += &format!("{name} {address}\n");
        }
        let server = Self::start(world, host, "miredo-server", &configuration);
        eventually(SECOND * 5, "miredo-server on both addresses", || {
            bound(host)
                .iter()
                .filter(|socket| socket.port() == PORT)
                .count()
                == 2
        });
        server
    }

    /// Starts a client of the usual server.
    pub(crate) fn client(world: &World, host: &Host) -> Self {
        Self::client_of(world, host, SERVER)
    }

    /// Starts a client of this server.
    pub(super) fn client_of(world: &World, host: &Host, server: Ipv4Addr) -> Self {
        let configuration = format!("InterfaceName {INTERFACE}\nServerAddress {server}\n");
        Self::start(world, host, "miredo", &configuration)
    }

    /// Starts a relay on the port of ours, which a restart does not change, and waits until it has its route.
    pub(super) fn relay(world: &World, host: &Host) -> Self {
        let configuration = format!(
            "RelayType cone\nInterfaceName {INTERFACE}\nBindAddress {}\nBindPort {RELAY_PORT}\n",
            host.ipv4()
        );
        let relay = Self::start(world, host, "miredo", &configuration);
        eventually(SECOND * 5, "the route of the relay", || {
            let routes = host
                .namespace()
                .run(|| fs::read_to_string("/proc/thread-self/net/ipv6_route"));
            let is_teredo = |route: &str| {
                route.starts_with("20010000") && route.trim_end().ends_with(INTERFACE)
            };
            routes.unwrap().unwrap().lines().any(is_teredo)
        });
        relay
    }

    fn start(world: &World, host: &Host, program: &str, configuration: &str) -> Self {
        // Fails with the package's name where the program is not installed.
        run(host, Command::new(program).arg("--version"));
        let [file, pid] =
            ["conf", "pid"].map(|suffix| world.path(&format!("{}.{suffix}", host.name())));
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("setpriv");
        // Each kills the next when it is killed itself. The shell is there because `miredo` would shake that off.
        command.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--",
        ]);
        command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
        command
            .args([program, "--foreground", "--user", "nobody", "--config"])
            .arg(file)
            .arg("--pidfile")
            .arg(pid);
        Self {
            process: Process::spawn(host.namespace(), program, &mut command).unwrap(),
        }
    }

    /// Signals all of it.
    pub(super) fn signal(&self, signal: Signal) {
        let mut family = children(self.process.id());
        while let Some(id) = family.pop() {
            kill(id, signal);
            family.extend(children(id));
        }
    }
}

impl Drop for Miredo {
    /// The kernel ends a namespace with its first process; `unshare` waits for that one.
    fn drop(&mut self) {
        for id in children(self.process.id()) {
            kill(id, Signal::KILL);
        }
        // Killed if it does not end.
        let _ = self.process.wait(SECOND);
    }
}

/// The children of a process, which are not waited for by anybody but the process itself.
fn children(id: u32) -> Vec<u32> {
    let path = Path::new("/proc")
        .join(id.to_string())
        .join("task")
        .join(id.to_string())
        .join("children");
    // There are none of a process that has ended.
    let children = fs::read_to_string(path).unwrap_or_default();
    children
        .split_ascii_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

fn kill(id: u32, signal: Signal) {
    // It may have ended.
    let _ = kill_process(Pid::from_raw(id as i32).unwrap(), signal);
}

/// The UDP sockets on the host, as the kernel has bound them.
pub(super) fn bound(host: &Host) -> Vec<SocketAddrV4> {
    let table = host
        .namespace()
        .run(|| fs::read_to_string("/proc/thread-self/net/udp"))
        .unwrap()
        .unwrap();
    let sockets = table.lines().skip(1).map(|line| {
        let (address, port) = line
            .split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .split_once(':')
            .unwrap();
        let address = u32::from_str_radix(address, 16).unwrap().to_ne_bytes();
        SocketAddrV4::new(address.into(), u16::from_str_radix(port, 16).unwrap())
    });
    sockets.collect()
}

/// Waits for the host's Teredo address. Our client adds its routes a moment later: before packets are sent, wait until it
/// is [qualified](Client::qualified).
#[track_caller]
pub(crate) fn appears(host: &Host) -> Ipv6Addr {
    let found = until(QUALIFICATION, "a Teredo address", || address_of(host));
    found.unwrap_or_else(|error| panic!("{}: {error}", host.name()))
}

/// The Teredo address that the kernel has for the host's tunnel interface.
pub(super) fn address_of(host: &Host) -> Option<Ipv6Addr> {
    let table = host
        .namespace()
        .run(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))
        .unwrap()
        .unwrap();
    let addresses = table.lines().filter(|line| line.ends_with(INTERFACE));
    let mut addresses =
        addresses.map(|line| Ipv6Addr::from(u128::from_str_radix(&line[..32], 16).unwrap()));
    addresses.find(|address| address.segments()[..2] == [0x2001, 0])
}
