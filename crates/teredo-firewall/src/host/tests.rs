use teredo_nft::Netlink;

use super::{HostFirewalls, Ufw, UfwPlace, find, is_enabled, ufw_commands, ufw_lines};
use crate::config::Backend;
use crate::nft_program as nft;
use crate::testing::Namespace;

#[test]
fn the_commands_name_both_families_and_the_reload() {
    let text = ufw_commands();
    for part in [
        "-A ufw-after-input -m mark --mark 0x7e2ed0 -j ACCEPT' /etc/ufw/after.rules",
        "-A ufw6-after-input -m mark --mark 0x7e2ed0 -j ACCEPT' /etc/ufw/after6.rules",
        "ufw reload",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_lines_name_their_place_and_family() {
    assert_eq!(
        ufw_lines(UfwPlace::Before, false),
        [
            "sed -i '/^# End required lines/a -A ufw6-before-input -m mark --mark 0x7e2ed0 -j ACCEPT' \
             /etc/ufw/before6.rules",
            "ufw reload",
        ]
    );
}

#[test]
fn only_an_enabled_ufw_counts() {
    assert!(is_enabled("# comment\nENABLED=yes\nLOGLEVEL=low\n"));
    assert!(is_enabled("ENABLED = \"YES\""));
    assert!(!is_enabled("ENABLED=no"));
    assert!(!is_enabled("#ENABLED=yes"));
    assert!(!is_enabled(""));
}

#[test]
fn ufw_needs_a_line_only_while_it_drops() {
    let ufw = |closes, passes_ipv4| Ufw {
        visible: true,
        closes,
        passes_ipv4,
        passes_ipv6: false,
    };
    assert!(ufw(true, false).lacks_line());
    assert!(!ufw(true, true).lacks_line());
    assert!(!ufw(false, false).lacks_line());
}

/// The programs are known by their chains, and ufw's line by what it does.
#[test]
fn the_kernel_shows_who_is_there() {
    let ufw = |closes, passes_ipv4, passes_ipv6| {
        Some(Ufw {
            visible: true,
            closes,
            passes_ipv4,
            passes_ipv6,
        })
    };
    Namespace::new().run(|| {
        let mut netlink = Netlink::open().unwrap();
        let mut look = |backend| find(&mut netlink, backend).unwrap();
        nft::run("table inet firewalld { chain filter_INPUT { type filter hook input priority 10; }; }");
        let firewalld = HostFirewalls {
            firewalld: true,
            ..HostFirewalls::default()
        };
        assert_eq!(look(Backend::Firewalld), firewalld);
        assert_eq!(look(Backend::Nftables), HostFirewalls::default());
        nft::run(
            "table ip filter { chain ufw-before-input { }; chain ufw-after-input { };
                chain INPUT { type filter hook input priority 0; policy accept; }; }
             table ip6 filter { chain ufw6-after-input { }; }",
        );
        assert_eq!(look(Backend::Ufw).ufw, ufw(false, false, false));
        nft::run("add chain ip filter INPUT { policy drop; }");
        assert!(look(Backend::Auto).firewalld);
        assert_eq!(look(Backend::Auto).ufw, ufw(true, false, false));
        // None of these lets everything with the mark pass, or anything.
        for rule in [
            "meta mark 0x7e2ed0 counter",
            "meta mark 0x7e2ed0 drop",
            "meta mark 0x7e2ed1 accept",
            "meta mark != 0x7e2ed0 accept",
            "meta mark 0x7e2ed0 ip saddr 192.0.2.1 accept",
            "meta mark and 0xff == 0xd0 accept",
            "udp dport 9 accept",
        ] {
            nft::run(&format!("add rule ip filter ufw-after-input {rule}"));
            assert_eq!(look(Backend::Ufw).ufw, ufw(true, false, false), "{rule}");
        }
        nft::run("add rule ip filter ufw-before-input meta l4proto udp meta mark 0x7e2ed0 counter accept");
        assert_eq!(look(Backend::Ufw).ufw, ufw(true, true, false));
        nft::run("add rule ip6 filter ufw6-after-input meta mark 0x7e2ed0 accept");
        assert_eq!(look(Backend::Ufw).ufw, ufw(true, true, true));
    });
}
