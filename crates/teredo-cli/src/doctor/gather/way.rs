//! The way to the server, and where its address comes from.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::Path;

use teredo::wire::PORT;
use teredo_tunnel::net::{Decision, Decisions};

use crate::doctor::seen::Neighbour;

/// The route of datagrams to the server, of the user that runs the client if one does.
pub(super) fn to_server(
    decisions: &Decisions,
    server: Ipv4Addr,
    uid: Option<u32>,
) -> Option<Decision> {
    match uid {
        Some(uid) => decisions.decide_datagram(SocketAddrV4::new(server, PORT), uid),
        None => decisions.decide(server.into(), None),
    }
    .ok()
}

/// The kernel's entry for the next hop, if that is a fault. `link` is the interface's name.
pub(super) fn neighbour(
    way: &Decision,
    server: Ipv4Addr,
    link: &str,
) -> Option<(Ipv4Addr, Neighbour)> {
    let hop = match way.gateway {
        Some(IpAddr::V4(gateway)) => gateway,
        Some(IpAddr::V6(_)) => return None,
        None => server,
    };
    let table = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    Some((hop, entry(&table, hop, link)?))
}

/// An entry without ATF_COM has no hardware address yet. One with ATF_PERM was made by hand.
fn entry(table: &str, hop: Ipv4Addr, link: &str) -> Option<Neighbour> {
    const COMPLETE: u32 = 2;
    const PERMANENT: u32 = 4;
    let hop = hop.to_string();
    table.lines().skip(1).find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [address, _, flags, hardware, .., device] = words.as_slice() else {
            return None;
        };
        (*address == hop && *device == link).then_some(())?;
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        if flags & COMPLETE == 0 {
            Some(Neighbour::Deaf)
        } else if flags & PERMANENT != 0 {
            Some(Neighbour::Fixed((*hardware).to_owned()))
        } else {
            None
        }
    })
}

/// Whether /etc/hosts has this name.
pub(super) fn is_in_hosts(name: &str) -> bool {
    let text = fs::read_to_string("/etc/hosts").unwrap_or_default();
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace().skip(1);
        words.any(|word| word.eq_ignore_ascii_case(name))
    })
}

/// The fault of resolv.conf(5).
pub(super) fn resolver() -> Option<String> {
    resolver_of(Path::new("/etc/resolv.conf"))
}

fn resolver_of(file: &Path) -> Option<String> {
    let shown = file.display();
    match fs::read_to_string(file) {
        Ok(text) => {
            let mut lines = text.lines();
            let has = lines.any(|line| line.trim_start().starts_with("nameserver"));
            (!has).then(|| format!("{shown} names no server of names"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(match fs::read_link(file) {
            Ok(to) => format!(
                "{shown} is a link to {}, which does not exist",
                to.display()
            ),
            Err(_) => format!("there is no {shown}"),
        }),
        Err(_) => None,
    }
}

/// The line of nsswitch.conf(5) that leaves the DNS out.
pub(super) fn without_dns() -> Option<String> {
    let text = fs::read_to_string("/etc/nsswitch.conf").ok()?;
    leaves_out(&text)
}

fn leaves_out(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("hosts:"))?;
    let line = line.split('#').next()?.trim();
    let mut words = line.split_whitespace().skip(1);
    // systemd-resolved asks the DNS, too.
    let asks = words.any(|word| word == "dns" || word == "resolve");
    (!asks).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_without_an_address_is_deaf() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.168.1.254    0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                     192.168.1.1      0x1         0x2         52:54:00:12:34:56     *        eth0\n\
                     192.168.1.3      0x1         0x6         02:00:00:00:00:99     *        eth0\n";
        let found = |last, link| entry(table, Ipv4Addr::new(192, 168, 1, last), link);
        assert_eq!(found(254, "eth0"), Some(Neighbour::Deaf));
        let fixed = Neighbour::Fixed("02:00:00:00:00:99".to_owned());
        assert_eq!(found(3, "eth0"), Some(fixed));
        for (last, link) in [(254, "eth1"), (1, "eth0"), (2, "eth0")] {
            assert_eq!(found(last, link), None);
        }
    }

    #[test]
    fn a_link_to_a_file_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        assert!(resolver_of(&file).unwrap().contains("there is no"));
        let gone = "/run/none/stub-resolv.conf";
        std::os::unix::fs::symlink(gone, &file).unwrap();
        assert!(resolver_of(&file).unwrap().contains(gone));
        fs::remove_file(&file).unwrap();
        fs::write(&file, "search example.net\n").unwrap();
        assert!(resolver_of(&file).unwrap().contains("no server"));
        fs::write(&file, "nameserver 192.0.2.53\n").unwrap();
        assert_eq!(resolver_of(&file), None);
    }

    #[test]
    fn the_dns_may_be_left_out() {
        assert_eq!(
            leaves_out("passwd: files\nhosts: files mymachines # x\n").as_deref(),
            Some("hosts: files mymachines")
        );
        assert_eq!(leaves_out("hosts: files resolve [!UNAVAIL=return]\n"), None);
        assert_eq!(leaves_out("hosts:  files dns\n"), None);
        assert_eq!(leaves_out(""), None);
    }
}
