use std::process::Command;

use rtnetlink::{LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::*;
use crate::Tun;
use crate::net::local_address;
use crate::netns::{PATIENCE, add_address, add_default_route, block_on, index, isolated, set_up};

const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A pair of interfaces, both up.
async fn plug_in(handle: &rtnetlink::Handle) {
    handle
        .link()
        .add(LinkVeth::new("eth0", "far").build())
        .execute()
        .await
        .unwrap();
    set_up(handle, "far").await;
    set_up(handle, "eth0").await;
}

/// The next change, not counting those of the tunnel itself.
async fn change_of_others(monitor: &mut NetworkMonitor) -> NetworkChange {
    let next = async {
        loop {
            let change = monitor.changed().await;
            if !change.changes.is_empty() {
                return change;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next)
        .await
        .expect("a change is reported")
}

async fn change(monitor: &mut NetworkMonitor) -> Vec<String> {
    change_of_others(monitor).await.changes
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

fn handle() -> rtnetlink::Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

#[test]
fn an_address_and_a_route_are_reported_together_and_in_words() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            let mut monitor = NetworkMonitor::for_client(None).await.unwrap();
            add_address(&handle, "eth0", HERE, 24).await;
            add_default_route(&handle, ROUTER).await;
            let changes = change(&mut monitor).await;
            assert!(
                changes.contains(&"192.0.2.7/24 added to eth0".to_owned()),
                "{changes:?}"
            );
            assert!(
                changes.contains(&"IPv4 leaves via 192.0.2.1 on eth0".to_owned()),
                "{changes:?}"
            );

            let down = LinkUnspec::new_with_name("eth0").down().build();
            handle.link().change(down).execute().await.unwrap();
            let changes = change(&mut monitor).await;
            assert!(changes.contains(&"eth0 is down".to_owned()), "{changes:?}");
        });
    });
}

/// Events that change nothing are not reported: the same address again, the tunnel's own comings and goings.
#[test]
fn what_does_not_matter_is_not_reported() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            add_address(&handle, "eth0", HERE, 24).await;
            let tun = Tun::open(Some("teredo")).unwrap();
            let mut monitor = NetworkMonitor::for_client(Some(tun.index())).await.unwrap();

            set_up(&handle, "teredo").await;
            add_address(&handle, "teredo", Ipv4Addr::new(198, 51, 100, 1), 24).await;
            let eth0 = index(&handle, "eth0").await.unwrap();
            handle
                .address()
                .add(eth0, HERE.into(), 24)
                .replace()
                .execute()
                .await
                .unwrap();
            let mtu = LinkUnspec::new_with_name("eth0").mtu(1400).build();
            handle.link().change(mtu).execute().await.unwrap();
            // The one that matters comes last, so that all others have been seen.
            add_default_route(&handle, ROUTER).await;
            assert_eq!(
                change(&mut monitor).await,
                ["IPv4 leaves via 192.0.2.1 on eth0"]
            );
        });
    });
}

/// If more happens than the kernel's buffer holds, the monitor reads everything again and reports the outcome.
#[test]
fn lost_notifications_are_made_good() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            add_address(&handle, "eth0", HERE, 24).await;
            let mut monitor = NetworkMonitor::for_client(None).await.unwrap();
            monitor.note(&NetlinkPayload::Overrun(Vec::new()));
            monitor.ipv4.apply(&RouteNetlinkMessage::DelAddress({
                let builder = rtnetlink::AddressMessageBuilder::<Ipv4Addr>::new();
                builder
                    .index(index(&handle, "eth0").await.unwrap())
                    .address(HERE, 24)
                    .build()
            }));
            monitor.known.attached = Attached::default();
            assert_eq!(change(&mut monitor).await, ["192.0.2.7/24 added to eth0"]);
        });
    });
}

#[test]
fn the_local_address_follows_the_route() {
    isolated(|| {
        let server = Ipv4Addr::new(203, 0, 113, 120);
        let error = local_address(server).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            add_address(&handle, "eth0", HERE, 24).await;
            add_default_route(&handle, ROUTER).await;
        });
        assert_eq!(local_address(server).unwrap(), HERE);
    });
}

async fn attached() -> Attached {
    NetworkMonitor::for_client(None).await.unwrap().attached()
}

async fn broadcasts() -> Vec<Ipv4Addr> {
    attached().await.broadcasts
}

/// R4380-GU-02: a /25's and a /30's broadcast address; a /31 and a /32 have none.
#[test]
fn broadcasts_are_those_of_the_attached_subnets() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            for (address, len) in [
                (Ipv4Addr::new(203, 0, 113, 5), 25),
                (Ipv4Addr::new(198, 51, 100, 9), 30),
                (Ipv4Addr::new(192, 0, 2, 2), 31),
                (Ipv4Addr::new(192, 0, 2, 99), 32),
            ] {
                add_address(&handle, "eth0", address, len).await;
            }
            let expected = [[127, 255, 255, 255], [198, 51, 100, 11], [203, 0, 113, 127]];
            assert_eq!(broadcasts().await, expected.map(Ipv4Addr::from));
            // They follow the interface.
            let eth0 = index(&handle, "eth0").await.unwrap();
            let gone = rtnetlink::AddressMessageBuilder::<Ipv4Addr>::new();
            let gone = gone
                .index(eth0)
                .address(Ipv4Addr::new(203, 0, 113, 5), 25)
                .build();
            handle.address().del(gone).execute().await.unwrap();
            assert_eq!(
                broadcasts().await,
                expected[..2]
                    .iter()
                    .copied()
                    .map(Ipv4Addr::from)
                    .collect::<Vec<_>>()
            );
        });
    });
}

async fn remove(handle: &rtnetlink::Handle, address: Ipv6Addr) {
    let message = rtnetlink::AddressMessageBuilder::<Ipv6Addr>::new();
    let eth0 = index(handle, "eth0").await.unwrap();
    let message = message.index(eth0).address(address, 64).build();
    handle.address().del(message).execute().await.unwrap();
}

async fn default_route(handle: &rtnetlink::Handle, interface: &str, metric: u32) {
    let route = RouteMessageBuilder::<Ipv6Addr>::new()
        .output_interface(index(handle, interface).await.unwrap())
        .priority(metric)
        .build();
    handle.route().add(route).execute().await.unwrap();
}

/// R4380-5.5-01: a global address and a default route together are native IPv6; the tunnel's own, another Teredo's, and
/// unique local addresses are not.
#[test]
fn native_ipv6_is_an_address_and_a_route_of_others() {
    const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            let tun = Tun::open(Some("teredo")).unwrap();
            let other = Tun::open(Some("other")).unwrap();
            for interface in ["teredo", "other"] {
                set_up(&handle, interface).await;
            }
            let mut monitor = NetworkMonitor::for_client(Some(tun.index())).await.unwrap();
            assert_eq!(monitor.native(), None);

            add_address(&handle, "teredo", NATIVE, 64).await;
            default_route(&handle, "teredo", 1029).await;
            let teredo: Ipv6Addr = "2001:0:c000:22d::1".parse().unwrap();
            add_address(&handle, "other", teredo, 128).await;
            default_route(&handle, "other", 1030).await;
            let private: Ipv6Addr = "fd00::5".parse().unwrap();
            add_address(&handle, "eth0", private, 64).await;
            default_route(&handle, "eth0", 1024).await;
            add_address(&handle, "eth0", NATIVE, 64).await;
            // The last one makes a difference, once it is known to be unique on the link; so far there is another router.
            let change = loop {
                let change = change_of_others(&mut monitor).await;
                if change.changes != ["IPv6 leaves by eth0"] {
                    break change;
                }
                assert_eq!(monitor.native(), None);
            };
            let lines = [
                "native IPv6: 2001:db8::5, by way of eth0",
                "2001:db8::5 added",
            ];
            assert_eq!(change.changes, lines);
            assert!(change.ipv6 && !change.ipv4);
            assert_eq!(monitor.global_addresses(), [NATIVE]);
            assert_eq!(monitor.native().unwrap().address, NATIVE);
            // A new monitor reads the same.
            let fresh = NetworkMonitor::for_client(Some(tun.index())).await.unwrap();
            assert_eq!(fresh.native(), monitor.native());

            remove(&handle, NATIVE).await;
            let gone = ["no native IPv6 any more", "2001:db8::5 removed"];
            assert_eq!(self::change(&mut monitor).await, gone);
            assert_eq!(monitor.native(), None);
            add_address(&handle, "eth0", NATIVE, 64).await;
            assert_eq!(self::change(&mut monitor).await, lines);
            // The link goes, and with it all that was on it.
            let down = LinkUnspec::new_with_name("eth0").down().build();
            handle.link().change(down).execute().await.unwrap();
            let changes = self::change(&mut monitor).await;
            assert!(changes.contains(&gone[0].to_owned()), "{changes:?}");
            drop(other);
        });
    });
}

/// R4380-5.2.8-05: the subnets are those of addresses on interfaces that carry.
#[test]
fn subnets_are_those_of_the_links() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            add_address(&handle, "eth0", HERE, 24).await;
            let here = LocalSubnet {
                address: HERE,
                prefix_len: 24,
            };
            assert_eq!(attached().await.subnets, [here]);
            let down = LinkUnspec::new_with_name("eth0").down().build();
            handle.link().change(down).execute().await.unwrap();
            assert_eq!(attached().await.subnets, []);
        });
    });
}

/// R4380-5.5-01: the kernel's own choice counts, whatever table, rule or prefix it comes from, and however far behind the
/// tunnel's route; a VPN to one network does not count.
#[test]
fn native_ipv6_is_found_in_every_table() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            ip("address add 2001:db8::5/64 dev eth0 nodad");
            let tun = Tun::open(Some("teredo")).unwrap();
            set_up(&handle, "teredo").await;
            ip("-6 route add default dev teredo metric 1029");
            for ways in [
                &["-6 route add default dev eth0 metric 2000"][..],
                &[
                    "-6 route add default dev eth0 table 51820",
                    "-6 rule add not fwmark 51820 table 51820",
                ],
                &[
                    "-6 route add ::/1 dev eth0",
                    "-6 route add 8000::/1 dev eth0",
                ],
                &["-6 route add 2000::/3 dev eth0"],
            ] {
                let mut monitor = NetworkMonitor::for_client(Some(tun.index())).await.unwrap();
                assert_eq!(monitor.native(), None, "before {ways:?}");
                ways.iter().for_each(|way| ip(way));
                let words = change(&mut monitor).await;
                let native = monitor.native();
                let native = native.unwrap_or_else(|| panic!("not seen: {ways:?}: {words:?}"));
                assert_eq!(native.to_string(), "2001:db8::5, by way of eth0");
                ways.iter()
                    .for_each(|way| ip(&way.replace(" add ", " delete ")));
                change(&mut monitor).await;
                assert_eq!(monitor.native(), None, "after {ways:?}");
            }
            ip("-6 route add 2001:db8:77::/48 dev eth0");
            ip("-6 route add 2600::/12 dev eth0");
            let monitor = NetworkMonitor::for_client(Some(tun.index())).await.unwrap();
            assert_eq!(monitor.native(), None);
            assert_eq!(monitor.preferred(), Some("eth0"));
        });
    });
}

/// Routes to elsewhere, links without a part in it and addresses that come again are no change.
#[test]
fn what_alters_no_answer_is_not_reported() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            add_address(&handle, "eth0", HERE, 24).await;
            add_default_route(&handle, ROUTER).await;
            let mut monitor = NetworkMonitor::for_client(None).await.unwrap();
            monitor.follow([Ipv4Addr::new(198, 51, 100, 1)]);
            for third in 0..=255 {
                ip(&format!("route add 10.9.{third}.0/24 via 192.0.2.1"));
            }
            ip("link add other0 type veth peer name other1");
            ip("link set other0 up");
            ip("link set other1 up");
            ip("-6 route add 2001:db8:9::/48 dev eth0");
            // The one that matters comes last, and after the others were looked at.
            while monitor.first.is_some() || monitor.last.is_some() {
                monitor.compare().unwrap();
            }
            let quiet = tokio::time::timeout(LONGEST * 2, monitor.changed()).await;
            assert!(quiet.is_err(), "{quiet:?}");
            ip("route add 198.51.100.0/24 via 192.0.2.9");
            let change = change_of_others(&mut monitor).await;
            assert_eq!(change.changes, ["IPv4 leaves via 192.0.2.9 on eth0"]);
            assert!(change.ipv4 && !change.ipv6 && !change.attached);
            // A link in use that goes down and comes up may lead to another network.
            ip("link set far down");
            ip("link set far up");
            let change = change_of_others(&mut monitor).await;
            assert!(change.ipv4, "{change:?}");
        });
    });
}

/// A server hears of its addresses alone.
#[test]
fn a_server_hears_of_no_routes() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            let mut monitor = NetworkMonitor::for_server().await.unwrap();
            ip("-6 route add 2001:db8:9::/48 dev eth0");
            ip("link set eth0 mtu 1400");
            add_address(&handle, "eth0", HERE, 24).await;
            add_default_route(&handle, ROUTER).await;
            let change = change_of_others(&mut monitor).await;
            assert_eq!(change.changes.len(), 1, "{change:?}");
            assert!(change.attached && !change.ipv4 && !change.ipv6 && !change.own);
            assert_eq!(monitor.attached().broadcasts.len(), 2);
        });
    });
}

/// Netlink fails: the monitor tries again, and nothing is missed.
#[test]
fn an_error_of_netlink_is_outlived() {
    isolated(|| {
        block_on(async {
            let handle = handle();
            plug_in(&handle).await;
            let mut monitor = NetworkMonitor::for_server().await.unwrap();
            // The connection's task is gone, and every question fails.
            monitor.subscription.connection.abort();
            monitor.stale = true;
            add_address(&handle, "eth0", HERE, 24).await;
            let change = change_of_others(&mut monitor).await;
            assert!(change.attached, "{change:?}");
        });
    });
}
