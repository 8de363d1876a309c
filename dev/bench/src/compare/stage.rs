//! The internet that a contestant carries data on.
//!
//! ```text
//!  alice ── NAT ── core ── relay's host ── core ── native host
//! ```
//!
//! Plain IPv4 takes the same path, by routes for each incoming interface.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use teredo_lab::{Home, Host, Internet, Namespace, NatKind, Process};

use super::cpu::Place;
use super::daemon::{Daemon, DataPath, INTERFACE, InUse, Make, read};
use super::session::Session;

const SERVER: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 65), Ipv4Addr::new(192, 0, 2, 66)];
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const NATIVE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// The port of tun-rs' end on the relay's host.
const TUN_RS_PORT: u16 = 4790;
/// The relay may have to be found, by a program that asks again every 3 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest frame of a tunnel on the wire: an inner packet of 1280 bytes, UDP, IPv4, Ethernet.
pub(crate) const FRAME: u64 = 1280 + 8 + 20 + 14;

/// The frames on the links between the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Super-packets pass from namespace to namespace whole.
    OffloadIntact,
    /// Frames as on a wire, and nothing larger.
    WireTrue,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OffloadIntact => "offload-intact",
            Self::WireTrue => "wire-true",
        })
    }
}

/// The carrier of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tunnel(Make),
    /// A tunnel in user space that is nothing but its offloads, between alice and the relay's host.
    TunRs,
    /// The kernel's own tunnel, between the same.
    Vxlan,
    Ipv4,
}

impl Carrier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tunnel(make) => make.name(),
            Self::TunRs => "tun-rs",
            Self::Vxlan => "vxlan",
            Self::Ipv4 => "plain IPv4",
        }
    }
}

/// An internet with the daemons of one make, or none.
pub(crate) struct Stage {
    pub(crate) carrier: Carrier,
    client: Option<Daemon>,
    relay: Option<Daemon>,
    _server: Option<Daemon>,
    /// Both ends of a tunnel that has no daemons.
    ends: Vec<Process>,
    pub(crate) alice: Host,
    pub(crate) native: Host,
    pub(crate) relay_host: Host,
    _home: Home,
    _internet: Internet,
}

impl Stage {
    pub(crate) fn build(session: &Session, carrier: Carrier, mode: Mode) -> Result<Self> {
        let internet = Internet::new()?;
        let attach = |name, v4: &[Ipv4Addr], last: u16| {
            internet.native_host(name, v4, Ipv6Addr::new(0x2001, 0xdb8, last, 0, 0, 0, 0, 1))
        };
        let server_host = attach("server", &SERVER, 1)?;
        let relay_host = attach("relay", &[RELAY], 2)?;
        let native = attach("native", &[NATIVE_V4], 6)?;
        internet.announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &relay_host)?;
        // VXLAN knows no NAT.
        let nat = match carrier {
            Carrier::Vxlan => NatKind::None,
            _ => NatKind::PortRestricted,
        };
        let home = internet.home("left", nat, PUBLIC)?;
        let alice = home.host("alice")?;
        if mode == Mode::WireTrue {
            let hosts = [&server_host, &relay_host, &native, &alice].map(Host::namespace);
            for namespace in hosts.into_iter().chain([internet.core(), home.router()]) {
                let table =
                    namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
                let names = table.lines().filter_map(|line| line.split_once(':'));
                let names = names.map(|(name, _)| name.trim());
                for name in names.filter(|name| !matches!(*name, "lo" | "lan")) {
                    namespace
                        .set_large_frames(name, false)
                        .with_context(|| format!("cannot switch the offloads of {name} off"))?;
                }
            }
        }
        let mut stage = Self {
            carrier,
            client: None,
            relay: None,
            _server: None,
            ends: Vec::new(),
            alice,
            native,
            relay_host,
            _home: home,
            _internet: internet.clone(),
        };
        match carrier {
            Carrier::Ipv4 => stage.lead_ipv4_by_the_relay(&internet)?,
            Carrier::Vxlan => {
                stage.join_by_vxlan()?;
                stage.lead_by_the_link(&internet)?;
                stage.warm_up()?;
            }
            Carrier::TunRs => {
                stage.join_by_tun_rs()?;
                stage.lead_by_the_link(&internet)?;
                stage.warm_up()?;
                for (end, place) in stage.ends.iter().zip([Place::Far, Place::Near]) {
                    place.give(&[end.id()])?;
                }
            }
            Carrier::Tunnel(make) => {
                let server = Daemon::server(session, make, &server_host, Place::Far)?;
                stage._server = Some(server);
                let relay = Daemon::relay(session, make, &stage.relay_host, Place::Far)?;
                let client = Daemon::client(session, make, &stage.alice, SERVER[0], Place::Near)?;
                stage.warm_up()?;
                // Miredo's are started anywhere.
                relay.pin(Place::Far)?;
                client.pin(Place::Near)?;
                stage.relay = Some(relay);
                stage.client = Some(client);
            }
        }
        Ok(stage)
    }

    /// Waits until the path is there.
    pub(crate) fn warm_up(&self) -> Result<()> {
        if self.carrier == Carrier::Ipv4 {
            return Ok(());
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // There is no route before the client is qualified.
            let replies = teredo_lab::ping(&self.alice, NATIVE, 3, Duration::from_secs(1));
            if replies.is_ok_and(|replies| replies.order.len() == 3) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let last_words = self.ends.iter().filter_map(|end| end.lines().pop());
        let last_words: Vec<String> = last_words.collect();
        bail!("no path within {PATIENCE:?} {}", last_words.join(", "))
    }

    /// The address of the native host over this carrier.
    pub(crate) fn destination(&self) -> IpAddr {
        match self.carrier {
            Carrier::Tunnel(_) | Carrier::TunRs | Carrier::Vxlan => NATIVE.into(),
            Carrier::Ipv4 => NATIVE_V4.into(),
        }
    }

    /// The segment size that makes frames as large as a tunnel's.
    pub(crate) fn segment(&self) -> Option<u32> {
        // IPv4 and TCP have 20 bytes each.
        (self.carrier == Carrier::Ipv4).then_some(1280 + 8 + 20 - 40)
    }

    /// The processes of the client and of the relay.
    pub(crate) fn daemons(&self) -> Vec<u32> {
        let daemons = [&self.client, &self.relay];
        daemons
            .into_iter()
            .flatten()
            .flat_map(Daemon::processes)
            .chain(self.ends.iter().map(Process::id))
            .collect()
    }

    /// The data paths of client and relay, and what they have carried so far, if ours carry by default.
    pub(crate) fn data_paths(&self) -> Result<Vec<InUse>> {
        if self.carrier != Carrier::Tunnel(Make::Ours(DataPath::Auto)) {
            return Ok(Vec::new());
        }
        let daemons = [&self.client, &self.relay].into_iter().flatten();
        daemons.map(Daemon::data_path).collect()
    }

    /// Why the figures since then are not those of the path in the kernel, if they are not.
    pub(crate) fn obstacle(&self, before: &[InUse]) -> Result<Option<String>> {
        let after = self.data_paths()?;
        let mut pairs = after.iter().zip(before);
        Ok(pairs.find_map(|(after, before)| after.obstacle(before)))
    }

    /// The packets that the client and the relay have carried so far, each counted by both.
    pub(crate) fn carried(&self) -> Result<u64> {
        if let (Carrier::Tunnel(Make::Ours(_)), Some(client), Some(relay)) =
            (self.carrier, &self.client, &self.relay)
        {
            let carried = [client, relay].map(|daemon| {
                let counters = daemon.status()?.counters;
                anyhow::Ok(counters.rx_packets + counters.tx_packets)
            });
            return carried.into_iter().sum();
        }
        let carried = [&self.alice, &self.relay_host].map(|host| {
            let traffic = traffic(host, INTERFACE)?;
            anyhow::Ok(traffic.received + traffic.sent)
        });
        carried.into_iter().sum()
    }

    /// Both ways lead by the relay's host, as they do in the tunnel.
    fn lead_ipv4_by_the_relay(&self, internet: &Internet) -> Result<()> {
        let relay = self.relay_host.namespace();
        for (path, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
        ] {
            relay.set_sysctl(path, value)?;
        }
        let by_relay = ["via", "192.0.2.99", "dev", "to-relay", "onlink"];
        let commands: [&[&str]; 5] = [
            &["rule", "add", "iif", "to-relay", "lookup", "100"],
            &[
                "route",
                "add",
                "192.0.2.200",
                "dev",
                "to-native",
                "table",
                "100",
            ],
            &["rule", "add", "iif", "to-native", "lookup", "101"],
            &[
                &["route", "add", "198.51.100.1", "table", "101"],
                &by_relay[..],
            ]
            .concat(),
            &[&["route", "replace", "192.0.2.200"], &by_relay[..]].concat(),
        ];
        for arguments in commands {
            ip(internet.core(), &[&["-4"], arguments].concat())?;
        }
        Ok(())
    }

    /// A link between alice and the relay's host.
    fn join_by_vxlan(&self) -> Result<()> {
        let ends = [&self.alice, &self.relay_host];
        for (host, far) in ends.into_iter().zip([ends[1], ends[0]]) {
            let [local, remote] = [host, far].map(|host| host.ipv4().to_string());
            let link = [
                "link", "add", INTERFACE, "mtu", "1280", "type", "vxlan", "id", "1",
            ];
            let between = ["local", &local, "remote", &remote, "dstport", "4789"];
            ip(host.namespace(), &[&link[..], &between[..]].concat())?;
        }
        Ok(())
    }

    /// The same by processes. Alice's end speaks first, because it is behind a NAT.
    fn join_by_tun_rs(&mut self) -> Result<()> {
        let relay = SocketAddrV4::new(RELAY, TUN_RS_PORT).to_string();
        let program = std::env::current_exe().context("cannot find this program")?;
        for (host, addresses) in [
            (&self.relay_host, &["--bind", &relay][..]),
            (&self.alice, &["--bind", "0.0.0.0:0", "--peer", &relay]),
        ] {
            let mut command = Command::new(&program);
            command
                .args(["tun-rs", "--interface", INTERFACE])
                .args(addresses);
            let end = Process::spawn(host.namespace(), "tun-rs", &mut command)?;
            end.wait_for_line("tunnelling", Duration::from_secs(5))?;
            self.ends.push(end);
        }
        Ok(())
    }

    /// The relay's host routes between the link to alice and the native Internet.
    fn lead_by_the_link(&self, internet: &Internet) -> Result<()> {
        for (host, address) in [
            (&self.alice, "2001:db8:7::2/64"),
            (&self.relay_host, "2001:db8:7::1/64"),
        ] {
            let namespace = host.namespace();
            ip(namespace, &["link", "set", INTERFACE, "up"])?;
            ip(namespace, &["address", "add", address, "dev", INTERFACE])?;
        }
        let via = ["via", "2001:db8:7::1"];
        ip(
            self.alice.namespace(),
            &[&["-6", "route", "add", "2001:db8::/32"], &via[..]].concat(),
        )?;
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
        internet.announce(prefix, 48, &self.relay_host)?;
        Ok(())
    }
}

/// Runs iproute2 in a namespace.
pub(crate) fn ip(namespace: &Namespace, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::null());
    let mut ip = namespace.spawn(&mut command).context("package iproute2")?;
    ensure!(ip.wait()?.success(), "ip {} failed", arguments.join(" "));
    Ok(())
}

/// The core of a place works on all that a host receives (receive packet steering).
pub(crate) fn steer(host: &Host, place: Place) -> Result<()> {
    let file = format!("/sys/class/net/{}/queues/rx-0/rps_cpus", host.interface());
    let script = format!(
        "mount -t sysfs none /sys && echo {:x} > {file}",
        1 << place.core()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let mut child = host.namespace().spawn(command.stdin(Stdio::null()))?;
    ensure!(child.wait()?.success(), "cannot write to {file}");
    Ok(())
}

/// The traffic of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
}

pub(crate) fn traffic(host: &Host, interface: &str) -> Result<Traffic> {
    let table = read(host, "dev")?;
    let mut lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, line) = lines
        .find(|(name, _)| name.trim() == interface)
        .with_context(|| format!("{} has no {interface}", host.name()))?;
    let numbers: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    let number = |at: usize| numbers.get(at).copied().context("/proc/net/dev is odd");
    Ok(Traffic {
        received: number(1)?,
        sent: number(9)?,
        sent_bytes: number(8)?,
    })
}
