//! The kernel and the network of this host.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::SystemTime;

use caps::{CapSet, Capability};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Group;
use teredo::wire::is_teredo;

use super::command::ask;
use super::processes::{self, holders};
use crate::doctor::rules::packet::Link;
use crate::doctor::seen::{Host, Ipv6, Process, Program, Tun};
use crate::doctor::shell::sysctl_of_link;

/// The device number of /dev/net/tun.
const TUN: [u32; 2] = [10, 200];

pub(super) fn look(processes: &[Process], interface: &str) -> Host {
    let holders = holders();
    let named = |pid: u32| Program {
        name: processes
            .iter()
            .find(|process| process.pid == pid)
            .map_or_else(|| processes::name(pid), |process| process.name.clone()),
        pid,
        unit: processes::unit_of(pid),
    };
    let addresses = addresses();
    let teredo_links = addresses
        .iter()
        .filter(|(address, _)| is_teredo(address))
        .map(|(address, link)| (link.clone(), *address))
        .collect();
    let native_link = default_route(&addresses);
    let native = addresses
        .iter()
        .find(|(address, _)| native_link.is_some() && is_global(*address) && !is_teredo(address))
        .map(|(address, _)| *address)
        .zip(native_link);
    let routers = routers(&read("/proc/thread-self/net/route").unwrap_or_default());
    Host {
        tun: tun(),
        ipv6: ipv6(interface),
        connections: connections(),
        net_admin: caps::has_cap(None, CapSet::Bounding, Capability::CAP_NET_ADMIN).unwrap_or(true),
        forwards: read("/proc/sys/net/ipv6/conf/all/forwarding").as_deref() == Some("1"),
        native,
        addresses: addresses
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| is_global(*address) && !is_teredo(address))
            .collect(),
        absent: Vec::new(),
        outside: None,
        doors: Vec::new(),
        teredo_links,
        down: down(interface),
        links: links(),
        tun_holders: holders
            .interfaces
            .into_iter()
            .map(|(name, pid)| (name, named(pid)))
            .collect(),
        udp: udp_ports()
            .into_iter()
            .map(|(port, inode)| (port, holders.sockets.get(&inode).copied().map(named)))
            .collect(),
        gai: fs::read_to_string("/etc/gai.conf").ok(),
        now: SystemTime::now(),
        offload: offload(),
        linux: linux(rustix::system::uname().release().to_str().ok()),
        jit: read("/proc/sys/net/core/bpf_jit_enable").map(|mode| mode != "0"),
        gateways: routers
            .iter()
            .filter(|route| !route.to_host)
            .map(|route| route.router)
            .collect(),
        routers: routers
            .into_iter()
            .map(|route| (route.router, route.link))
            .collect(),
        vpns: vpns(),
        own: own_addresses(),
        sysctl_is_fixed: sysctl_is_fixed(),
        stale_group: stale_group("teredo"),
        strict: Vec::new(),
        secrets: None,
        tools: ["traceroute", "tracepath", "conntrack", "resolvectl"]
            .into_iter()
            .filter(|tool| find_program(tool).is_some())
            .map(str::to_owned)
            .collect(),
        group_exists: matches!(Group::from_name("teredo"), Ok(Some(_))),
    }
}

pub(super) fn link(name: &str, kind: u16) -> Link {
    Link {
        name: name.to_owned(),
        index: nix::net::if_::if_nametoindex(name).unwrap_or_default(),
        group: 0,
        kind,
    }
}

/// Interfaces that are down, without the tunnel's own.
fn down(tunnel: &str) -> Vec<String> {
    let all = getifaddrs().into_iter().flatten();
    let down = all.filter(|one| !one.flags.contains(InterfaceFlags::IFF_UP));
    let mut names: Vec<String> = down
        .map(|one| one.interface_name)
        .filter(|name| name != tunnel)
        .collect();
    names.dedup();
    names
}

fn links() -> Vec<Link> {
    let found = nix::net::if_::if_nameindex();
    let names = found.iter().flat_map(|list| list.into_iter());
    names
        .map(|one| link(&one.name().to_string_lossy(), 1))
        .collect()
}

pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// Opening it alone makes no interface.
fn tun() -> Tun {
    const DEVICE: &str = "/dev/net/tun";
    let metadata = match fs::metadata(DEVICE) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Tun::Missing,
        Err(error) => return Tun::Unusable(error.to_string()),
    };
    if !metadata.file_type().is_char_device() || device(metadata.rdev()) != TUN {
        return Tun::Unusable("it is not the TUN device".to_owned());
    }
    match File::options().read(true).write(true).open(DEVICE) {
        Ok(_) => Tun::Usable,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if rustix::process::geteuid().is_root() {
                Tun::Unusable(error.to_string())
            } else {
                Tun::Unseen
            }
        }
        // The node is there, and the driver behind it is not.
        Err(error) => Tun::Unusable(error.to_string()),
    }
}

fn device(number: u64) -> [u32; 2] {
    [rustix::fs::major(number), rustix::fs::minor(number)]
}

fn ipv6(interface: &str) -> Ipv6 {
    const CONF: &str = "/proc/sys/net/ipv6/conf";
    if fs::metadata(CONF).is_err() {
        return Ipv6::Absent;
    }
    let disabled: Vec<String> = ["all", "default", interface]
        .into_iter()
        // A name with a slash would lead elsewhere.
        .filter(|name| !name.contains('/'))
        .filter(|name| read(&format!("{CONF}/{name}/disable_ipv6")).as_deref() == Some("1"))
        .map(|name| sysctl_of_link("ipv6", name, "disable_ipv6"))
        .collect();
    if disabled.is_empty() {
        Ipv6::Usable
    } else {
        Ipv6::Disabled(disabled)
    }
}

/// The tracked connections of this network namespace, and the most that there may be.
fn connections() -> Option<[u64; 2]> {
    let number = |name: &str| {
        let text = read(&format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
        text?.parse().ok()
    };
    Some([number("count")?, number("max")?])
}

/// The addresses of all interfaces that new connections may use.
fn addresses() -> Vec<(Ipv6Addr, String)> {
    // IFA_F_TENTATIVE, IFA_F_DEPRECATED, IFA_F_DADFAILED.
    const UNUSABLE: u32 = 0x40 | 0x20 | 0x08;
    let table = read("/proc/thread-self/net/if_inet6").unwrap_or_default();
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let name = words.next()?;
        (flags & UNUSABLE == 0).then(|| (Ipv6Addr::from_bits(address), name.to_owned()))
    };
    table.lines().filter_map(row).collect()
}

fn is_global(address: Ipv6Addr) -> bool {
    teredo::wire::is_global_unicast(&address)
}

/// The interface of a default route, if it is no Teredo tunnel.
fn default_route(addresses: &[(Ipv6Addr, String)]) -> Option<String> {
    // RTF_UP, RTF_REJECT.
    const UP: u32 = 1;
    const REJECT: u32 = 0x200;
    let table = read("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [destination, length, .., flags, link] = words.as_slice() else {
            return None;
        };
        let everything = matches!(
            (*destination, *length),
            ("00000000000000000000000000000000", "00") | ("20000000000000000000000000000000", "03")
        );
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let of_teredo = addresses
            .iter()
            .any(|(address, on)| on == link && is_teredo(address));
        (everything && flags & UP != 0 && flags & REJECT == 0 && *link != "lo" && !of_teredo)
            .then(|| (*link).to_owned())
    };
    table.lines().find_map(row)
}

/// A container may see the settings of its network, and not change them.
fn sysctl_is_fixed() -> bool {
    let found = rustix::fs::statvfs("/proc/sys/net");
    found.is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// The group, if /etc/group has this user in it and this process is not.
fn stale_group(name: &str) -> Option<String> {
    let group = Group::from_name(name).ok()??;
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok()??;
    if user.uid.is_root() || !group.mem.contains(&user.name) {
        return None;
    }
    let own = nix::unistd::getgroups().ok()?;
    let has = own.contains(&group.gid) || nix::unistd::getegid() == group.gid;
    (!has).then(|| name.to_owned())
}

/// Whether the interface takes only packets that would be answered by the same one (RFC 3704).
pub(super) fn filters_strictly(link: &str) -> bool {
    const STRICT: u8 = 1;
    let filter = |link: &str| {
        let text = read(&format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"));
        text.and_then(|text| text.parse::<u8>().ok()).unwrap_or(0)
    };
    !link.contains('/') && filter("all").max(filter(link)) == STRICT
}

/// The interface that has one of these addresses.
pub(super) fn link_of(addresses: &[Ipv4Addr]) -> Option<InterfaceAddress> {
    let mut own = getifaddrs().ok()?;
    own.find(|one| {
        let address = one.address.as_ref();
        let address = address.and_then(|own| own.as_sockaddr_in().map(|own| own.ip()));
        address.is_some_and(|address| addresses.contains(&address))
    })
}

/// Whether packets of others come by the interface: it is up, and neither 'lo' nor a dummy, which has no neighbours.
pub(super) fn is_outside(link: &InterfaceAddress) -> bool {
    let has = |flags| link.flags.intersects(flags);
    let is_dummy = has(InterfaceFlags::IFF_NOARP) && !has(InterfaceFlags::IFF_POINTOPOINT);
    has(InterfaceFlags::IFF_UP) && !has(InterfaceFlags::IFF_LOOPBACK) && !is_dummy
}

/// An interface that others are on.
pub(super) fn any_outside() -> Option<String> {
    let mut own = getifaddrs().ok()?;
    let found =
        own.find(|link| is_outside(link) && link.flags.contains(InterfaceFlags::IFF_BROADCAST));
    found.map(|link| link.interface_name)
}

/// A route of IPv4 by way of a router.
#[derive(Debug, PartialEq, Eq)]
struct Routed {
    /// Whether it leads to a single host, and not to everything.
    to_host: bool,
    router: Ipv4Addr,
    link: String,
}

/// The default routes of `/proc/net/route` that have a router, and then those to single hosts. A VPN's 0.0.0.0/1 is neither.
fn routers(table: &str) -> Vec<Routed> {
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [link, destination, gateway, _, _, _, _, mask, ..] = words.as_slice() else {
            return None;
        };
        let to_host = match (*destination, *mask) {
            ("00000000", "00000000") => false,
            (_, "FFFFFFFF") => true,
            _ => return None,
        };
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (gateway != 0).then(|| Routed {
            to_host,
            router: Ipv4Addr::from(gateway.to_ne_bytes()),
            link: (*link).to_owned(),
        })
    };
    let mut found: Vec<_> = table.lines().skip(1).filter_map(row).collect();
    found.sort_by_key(|route| route.to_host);
    found
}

/// Interfaces of TUN devices and of WireGuard.
fn vpns() -> Vec<String> {
    let found = nix::net::if_::if_nameindex();
    let names = found.iter().flat_map(|list| list.into_iter());
    let names = names.map(|one| one.name().to_string_lossy().into_owned());
    let is_vpn = |name: &String| {
        let file = |file: &str| Path::new("/sys/class/net").join(name).join(file);
        let kind = fs::read_to_string(file("uevent")).unwrap_or_default();
        file("tun_flags").exists() || kind.contains("DEVTYPE=wireguard")
    };
    names
        .filter(|name| !name.contains('/'))
        .filter(is_vpn)
        .collect()
}

/// The IPv4 addresses of this host with the length of their networks.
fn own_addresses() -> Vec<(Ipv4Addr, u8)> {
    let all = getifaddrs().into_iter().flatten();
    let found = all.filter_map(|one| {
        let ip = |address: Option<&nix::sys::socket::SockaddrStorage>| {
            address.and_then(|own| own.as_sockaddr_in().map(|own| own.ip()))
        };
        let mask = ip(one.netmask.as_ref()).map_or(32, |mask| mask.to_bits().count_ones());
        Some((ip(one.address.as_ref())?, u8::try_from(mask).ok()?))
    });
    found.collect()
}

/// The file of a program, in one of the usual folders. Users do not have all of them in their path.
fn find_program(program: &str) -> Option<String> {
    const FOLDERS: [&str; 6] = [
        "/usr/sbin",
        "/sbin",
        "/usr/bin",
        "/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
    ];
    let mut files = FOLDERS.iter().map(|folder| format!("{folder}/{program}"));
    files.find(|file| Path::new(file).exists())
}

/// The UDP ports of IPv4, with the inodes of their sockets.
fn udp_ports() -> Vec<(u16, u64)> {
    let table = read("/proc/thread-self/net/udp").unwrap_or_default();
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some((port, words.get(9)?.parse().ok()?))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Whether a socket of this kernel takes `UDP_SEGMENT`, and `UDP_GRO`.
fn offload() -> [bool; 2] {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else {
        return [true; 2];
    };
    [
        setsockopt(&socket, sockopt::UdpGsoSegment, &1280).is_ok(),
        setsockopt(&socket, sockopt::UdpGroSegment, &true).is_ok(),
    ]
}

/// The version in a release such as `6.1.0-18-amd64`.
fn linux(release: Option<&str>) -> Option<(u32, u32)> {
    let mut numbers = release?.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse().ok();
    Some((number()?, number()?))
}

/// The rules of iptables-legacy for IPv4 and IPv6; none if it has no tables. Its program is asked only then: it would make
/// the tables.
pub(super) fn legacy_rules() -> Result<Option<[String; 2]>, String> {
    let of_family = |names: &str, program: &str| {
        if read(names).unwrap_or_default().is_empty() {
            return Ok(String::new());
        }
        find_program(program).map_or_else(|| Ok(String::new()), |file| ask(&file, &[]))
    };
    let texts = [
        of_family(
            "/proc/thread-self/net/ip_tables_names",
            "iptables-legacy-save",
        )?,
        of_family(
            "/proc/thread-self/net/ip6_tables_names",
            "ip6tables-legacy-save",
        )?,
    ];
    Ok(texts.iter().any(|text| !text.is_empty()).then_some(texts))
}

#[cfg(test)]
mod tests;
