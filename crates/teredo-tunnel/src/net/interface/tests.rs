use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader};

use super::*;
use crate::netns::{block_on, isolated};

const FIRST: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0xcb00, 0x7178, 0x1234, 0xefff, 0x3f57, 0xfefe);
const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0xcb00, 0x7178, 0x1234, 0xeffe, 0x3f57, 0xfefe);

/// The state of an interface in the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    up: bool,
    mtu: u32,
    addresses: Vec<(Ipv6Addr, u8)>,
    routes: Vec<(Ipv6Addr, u8, u32)>,
}

async fn see(interface: &Interface) -> Seen {
    let mut seen = Seen::default();
    let handle = &interface.netlink.handle;
    let mut links = std::pin::pin!(handle.link().get().match_index(interface.index).execute());
    while let Some(link) = links.try_next().await.unwrap() {
        seen.up = link.header.flags.contains(LinkFlags::Up);
        let mtu = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            });
        seen.mtu = mtu.unwrap();
    }
    let mut addresses = std::pin::pin!(
        handle
            .address()
            .get()
            .set_link_index_filter(interface.index)
            .execute()
    );
    while let Some(message) = addresses.try_next().await.unwrap() {
        for attribute in &message.attributes {
            if let AddressAttribute::Address(IpAddr::V6(address)) = attribute {
                // Of use at once: neither tentative nor waiting for anything.
                assert!(!message.header.flags.contains(AddressHeaderFlags::Tentative));
                seen.addresses.push((*address, message.header.prefix_len));
            }
        }
    }
    let all = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut routes = std::pin::pin!(handle.route().get(all).execute());
    while let Some(route) = routes.try_next().await.unwrap() {
        let (mut to, mut metric, mut link) = (Ipv6Addr::UNSPECIFIED, 0, 0);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet6(address)) => to = *address,
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::Oif(index) => link = *index,
                _ => {}
            }
        }
        if link == interface.index && route.header.table == RouteHeader::RT_TABLE_MAIN {
            seen.routes
                .push((to, route.header.destination_prefix_length, metric));
        }
    }
    // The kernel's own multicast and host routes are not what is set up here.
    seen.routes
        .retain(|(to, len, _)| !to.is_multicast() && *len != 128);
    seen.routes.sort();
    seen.addresses.sort();
    seen
}

fn teredo_route() -> (Ipv6Addr, u8, u32) {
    (TEREDO_PREFIX.0, 32, 1024)
}

/// R4380-5.1.2-02
/// Only where it was asked for.
#[test]
fn super_packets_are_no_longer_than_a_send() {
    isolated(|| {
        block_on(async {
            for max_segments in [None, Some(SEGMENTS_PER_SEND)] {
                let tun = Tun::open(None).unwrap();
                let config = InterfaceConfig {
                    max_segments,
                    ..InterfaceConfig::default()
                };
                let interface = Interface::set_up(&tun, config).await.unwrap();
                let handle = &interface.netlink.handle;
                let mut links =
                    std::pin::pin!(handle.link().get().match_index(tun.index()).execute());
                let link = links.try_next().await.unwrap().unwrap();
                let limit = link
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        LinkAttribute::GsoMaxSegs(segments) => Some(*segments),
                        _ => None,
                    });
                assert_eq!(limit == Some(51), max_segments.is_some(), "{limit:?}");
            }
        });
    });
}

#[test]
fn the_interface_is_up_with_mtu_1280_and_no_address() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        block_on(async {
            let interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            let expected = Seen {
                up: true,
                mtu: 1280,
                ..Seen::default()
            };
            assert_eq!(see(&interface).await, expected);
        });
    });
}

#[test]
fn address_and_routes_come_and_go_together() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        block_on(async {
            let mut interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            let bare = see(&interface).await;
            interface.set_address(FIRST).await.unwrap();
            let seen = see(&interface).await;
            assert_eq!(seen.addresses, [(FIRST, 128)]);
            assert_eq!(
                seen.routes,
                [(Ipv6Addr::UNSPECIFIED, 0, 1029), teredo_route()]
            );
            assert_eq!(interface.address(), Some(FIRST));
            interface.clear_address().await.unwrap();
            assert_eq!(see(&interface).await, bare);
            assert_eq!(interface.address(), None);
            // And again.
            interface.set_address(SECOND).await.unwrap();
            assert_eq!(see(&interface).await.addresses, [(SECOND, 128)]);
        });
    });
}

#[test]
fn a_new_address_replaces_the_old_one_and_the_routes_stand() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        block_on(async {
            let config = InterfaceConfig {
                default_route: None,
                ..InterfaceConfig::default()
            };
            let mut interface = Interface::set_up(&tun, config).await.unwrap();
            interface.set_address(FIRST).await.unwrap();
            interface.set_address(FIRST).await.unwrap();
            interface.set_address(SECOND).await.unwrap();
            let seen = see(&interface).await;
            assert_eq!(seen.addresses, [(SECOND, 128)]);
            assert_eq!(seen.routes, [teredo_route()]);
        });
    });
}

#[test]
fn what_somebody_else_removed_is_no_error() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        block_on(async {
            let mut interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            interface.set_address(FIRST).await.unwrap();
            let down = LinkUnspec::new_with_index(tun.index()).down().build();
            interface
                .netlink
                .handle
                .link()
                .change(down)
                .execute()
                .await
                .unwrap();
            interface.clear_address().await.unwrap();
        });
    });
}

#[test]
fn a_second_teredo_is_told_that_the_route_is_taken() {
    isolated(|| {
        let (first, second) = (Tun::open(None).unwrap(), Tun::open(None).unwrap());
        block_on(async {
            let mut first = Interface::set_up(&first, InterfaceConfig::default())
                .await
                .unwrap();
            first.set_address(FIRST).await.unwrap();
            let mut second = Interface::set_up(&second, InterfaceConfig::default())
                .await
                .unwrap();
            let error = second.set_address(SECOND).await.unwrap_err();
            assert!(
                matches!(error, InterfaceError::RouteExists { .. }),
                "{error}"
            );
        });
    });
}

/// A route that another interface has keeps the client from none of the others, whether they are added or restored.
#[test]
fn a_taken_route_leaves_the_others() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        block_on(async {
            let config = InterfaceConfig::default();
            let metric = config.default_route.unwrap();
            let mut interface = Interface::set_up(&tun, config).await.unwrap();
            let other = Tun::open(Some("other")).unwrap();
            ip("link set other up");
            ip(&format!("-6 route add default dev other metric {metric}"));
            let taken = |result: Result<(), InterfaceError>| {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, InterfaceError::RouteExists { .. }),
                    "{error}"
                );
            };
            taken(interface.set_address(FIRST).await);
            let missing = [Difference::NoRoute("::/0".to_owned())];
            assert_eq!(interface.differences().await.unwrap(), missing);
            ip("-6 route flush table 3544");
            ip("-6 rule delete priority 3544");
            let differences = interface.differences().await.unwrap();
            taken(interface.restore(&differences).await);
            assert_eq!(interface.differences().await.unwrap(), missing);
            drop(other);
            interface.restore(&missing).await.unwrap();
            assert_eq!(interface.differences().await.unwrap(), []);
        });
    });
}

#[test]
fn disabled_ipv6_is_named_with_the_setting_to_change() {
    isolated(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let tun = Tun::open(Some("teredo")).unwrap();
        block_on(async {
            let error = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap_err();
            let InterfaceError::Ipv6Disabled { interface, sysctl } = &error else {
                panic!("{error}");
            };
            // The interface goes with the program, so its own setting would not be there to change.
            assert_eq!(interface, "teredo");
            assert_eq!(sysctl, "net.ipv6.conf.default.disable_ipv6");
            std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            let error = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("`sysctl -w net.ipv6.conf.all.disable_ipv6=0`"),
                "{error}"
            );
            std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0").unwrap();
            Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
        });
    });
}

/// The command in the message works as it is typed.
#[test]
fn the_hint_about_disabled_ipv6_works() {
    isolated(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        block_on(async {
            let tun = Tun::open(None).unwrap();
            let error = Interface::set_up(&tun, InterfaceConfig::default()).await;
            drop(tun);
            let text = error.unwrap_err().to_string();
            let command = text.split('`').nth(1).expect("a command");
            let mut words = command.split(' ');
            let typed = std::process::Command::new(words.next().unwrap())
                .args(words)
                .output();
            let output = typed.expect("sysctl(8): install the package procps");
            assert!(output.status.success(), "{command}: {output:?}");
            let tun = Tun::open(None).unwrap();
            Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
        });
    });
}

fn ip(arguments: &str) -> String {
    let output = std::process::Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .expect("ip(8): install the package iproute2");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Changes of an interface by other programs are found, named and put right.
#[test]
fn a_changed_interface_is_restored() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        block_on(async {
            let mut interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            assert_eq!(interface.differences().await.unwrap(), []);
            interface.set_address(FIRST).await.unwrap();
            let right = see(&interface).await;
            assert_eq!(interface.differences().await.unwrap(), []);
            for commands in [
                &["-6 address flush dev teredo"][..],
                &["-6 route flush dev teredo"],
                &["-6 route delete default dev teredo"],
                &["-6 route delete 2001::/32 dev teredo"],
                &["-6 route flush table 3544"],
                &["-6 rule delete priority 3544"],
                &["link set teredo down"],
                &["link set teredo down", "link set teredo up"],
                &["link set teredo mtu 1279"],
                &["link set teredo mtu 1279", "link set teredo mtu 1280"],
                &["link set teredo mtu 9000"],
                &["link set teredo addrgenmode random"],
                &["address add 2001:0:1::5/64 dev teredo nodad"],
            ] {
                for command in commands {
                    ip(command);
                }
                let differences = interface.differences().await.unwrap();
                assert_ne!(differences, [], "{commands:?}");
                interface.restore(&differences).await.unwrap();
                assert_eq!(interface.differences().await.unwrap(), [], "{commands:?}");
                assert_eq!(see(&interface).await, right, "{commands:?}");
            }
            std::fs::write("/proc/sys/net/ipv6/conf/teredo/disable_ipv6", "1").unwrap();
            let differences = interface.differences().await.unwrap();
            let error = interface.restore(&differences).await.unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("`sysctl -w net.ipv6.conf.teredo.disable_ipv6=0`"),
                "{error}"
            );
            std::fs::write("/proc/sys/net/ipv6/conf/teredo/disable_ipv6", "0").unwrap();
            let differences = interface.differences().await.unwrap();
            interface.restore(&differences).await.unwrap();
            assert_eq!(see(&interface).await, right);

            ip("link set teredo down");
            ip("link set teredo name other");
            let differences = interface.differences().await.unwrap();
            assert_eq!(interface.name(), "other");
            interface.restore(&differences).await.unwrap();
            assert_eq!(see(&interface).await, right);
        });
    });
}

/// Packets from the Teredo address leave by the tunnel although another default route is preferred. Nothing of that is
/// left at the end, nor of clients that were killed: at this address, and at another.
#[test]
fn packets_from_the_teredo_address_leave_by_the_tunnel() {
    isolated(|| {
        let tun = Tun::open(Some("teredo")).unwrap();
        block_on(async {
            ip("link add eth0 type veth peer name far");
            ip("link set eth0 up");
            ip("link set far up");
            ip("address add fd00::5/64 dev eth0 nodad");
            ip("-6 route add default dev eth0 metric 1024");
            let before = ip("-6 rule show");
            let mut interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            for left_behind in [None, Some(FIRST), Some(SECOND)] {
                if let Some(address) = left_behind {
                    ip(&format!(
                        "-6 rule add from {address} iif lo table 3544 priority 3544"
                    ));
                }
                interface.set_address(FIRST).await.unwrap();
                let to = "2001:db8::7";
                let from_teredo = ip(&format!("-6 route get {to} from {FIRST}"));
                assert!(from_teredo.contains("dev teredo"), "{from_teredo}");
                let other = ip(&format!("-6 route get {to} from fd00::5"));
                assert!(other.contains("dev eth0"), "{other}");
                interface.clear_address().await.unwrap();
                assert_eq!(ip("-6 rule show"), before);
                assert_eq!(ip("-6 route show dev teredo"), "");
                assert_eq!(ip("-6 route show table all dev teredo default"), "");
            }
        });
    });
}

/// Of two clients, each sends what comes from its own address, also when the other gets a new one or goes. A kernel
/// without routes by source has room for one.
#[test]
fn two_clients_send_from_their_own_addresses() {
    const LATER: Ipv6Addr = Ipv6Addr::new(0x2001, 0, 0xcb00, 0x7178, 1, 0xefff, 0x3f57, 0xfefd);

    isolated(|| {
        let (one, two) = (
            Tun::open(Some("one")).unwrap(),
            Tun::open(Some("two")).unwrap(),
        );
        block_on(async {
            let config = InterfaceConfig {
                group: 3544,
                ..InterfaceConfig::default()
            };
            let before = ip("-6 rule show");
            let mut first = Interface::set_up(&one, config).await.unwrap();
            let mut second = Interface::set_up(&two, config).await.unwrap();
            let way = |from: Ipv6Addr| {
                let found = ip(&format!("-6 route get 2001:db8::7 from {from}"));
                let mut words = found.split_whitespace();
                words.find(|&word| word == "dev").unwrap();
                words.next().unwrap().to_owned()
            };
            first.set_address(FIRST).await.unwrap();
            second.set_address(SECOND).await.unwrap();
            assert_eq!(second.differences().await.unwrap(), []);
            // Without a source, the first one's are taken.
            let main = ip("-6 route get 2001:db8::7");
            assert!(main.contains("dev one"), "{main}");
            assert_eq!((way(FIRST), way(SECOND)), ("one".into(), "two".into()));
            first.set_address(LATER).await.unwrap();
            assert_eq!((way(LATER), way(SECOND)), ("one".into(), "two".into()));
            let rules = ip("-6 rule show");
            assert_eq!(rules.matches("lookup 3544").count(), 2, "{rules}");

            first.clear_address().await.unwrap();
            assert_eq!(way(SECOND), "two");
            let main = ip("-6 route get 2001:db8::7");
            assert!(main.contains("dev two"), "{main}");
            assert_eq!(second.differences().await.unwrap(), []);

            first.source_routes = false;
            first.set_address(FIRST).await.unwrap();
            assert_eq!((way(FIRST), way(SECOND)), ("one".into(), "two".into()));
            first.clear_address().await.unwrap();
            second.clear_address().await.unwrap();
            assert_eq!(ip("-6 rule show"), before);
            assert_eq!(ip("-6 route show table all default"), "");
        });
    });
}

#[test]
fn without_the_privilege_it_says_so() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let all = rustix::thread::capabilities(None).unwrap();
        let mut less = all;
        less.effective
            .remove(rustix::thread::CapabilitySet::NET_ADMIN);
        rustix::thread::set_capabilities(None, less).unwrap();
        block_on(async {
            let error = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap_err();
            assert!(
                matches!(error, InterfaceError::NotPermitted { .. }),
                "{error}"
            );
        });
        rustix::thread::set_capabilities(None, all).unwrap();
    });
}

#[test]
fn a_deleted_interface_is_gone() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        block_on(async {
            let mut interface = Interface::set_up(&tun, InterfaceConfig::default())
                .await
                .unwrap();
            interface.set_address(FIRST).await.unwrap();
            drop(tun);
            // A process that another test starts holds the descriptor until its exec.
            crate::netns::eventually("the interface is gone", || {
                let interfaces = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                (!interfaces.contains(interface.name())).then_some(())
            });
            let error = interface.set_address(SECOND).await.unwrap_err();
            assert!(matches!(error, InterfaceError::Gone { .. }), "{error}");
            interface.clear_address().await.unwrap();
        });
    });
}
