use futures_util::TryStreamExt;
use netlink_packet_route::route::{RouteAddress, RouteAttribute};

use super::*;
use crate::netns::{block_on, index, isolated, netlink};

const NAME: &str = "teredo-route";

/// The routes of a table: destination, metric.
fn routes(table: u32) -> Vec<(String, u32)> {
    netlink(async |handle| {
        let mut seen = Vec::new();
        let all: [RouteMessage; 2] = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        for question in all {
            let mut routes = std::pin::pin!(handle.route().get(question).execute());
            while let Some(route) = routes.try_next().await.unwrap() {
                let (mut to, mut metric, mut of) = (String::new(), 0, 0);
                for attribute in &route.attributes {
                    match attribute {
                        RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = ip.to_string(),
                        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = ip.to_string(),
                        RouteAttribute::Priority(priority) => metric = *priority,
                        RouteAttribute::Table(number) => of = *number,
                        _ => {}
                    }
                }
                if of == table {
                    to = format!("{to}/{}", route.header.destination_prefix_length);
                    seen.push((to, metric));
                }
            }
        }
        seen
    })
}

fn with_metric(metric: u32) -> Vec<(String, u32)> {
    let networks = ["192.0.2.99/32", "2001::/32"];
    networks.map(|to| (to.to_owned(), metric)).to_vec()
}

/// The routes come, change their metric and go, and what is there stays; they and the interface end with the value.
#[test]
fn the_routes_live_as_long_as_their_maker() {
    isolated(|| {
        let table = ANNOUNCED_TABLE;
        block_on(async {
            let networks = ["192.0.2.99/32", "2001::/32"].map(|text| text.parse().unwrap());
            let tun = Tun::open(Some(NAME)).unwrap();
            let mut routes_held = AnnouncedRoutes::new(tun, table, networks.to_vec())
                .await
                .unwrap();
            let seen = |expected: Vec<(String, u32)>, when: &str| {
                let seen = std::thread::scope(|scope| scope.spawn(|| routes(table)).join());
                assert_eq!(seen.unwrap(), expected, "{when}");
            };
            seen(Vec::new(), "at first");
            for (metric, when) in [(100, "well"), (100, "still well"), (200, "strained")] {
                routes_held.set(Some(metric)).await.unwrap();
                seen(with_metric(metric), when);
            }
            routes_held.set(None).await.unwrap();
            seen(Vec::new(), "withdrawn");
            routes_held.set(None).await.unwrap();
            routes_held.set(Some(100)).await.unwrap();
            seen(with_metric(100), "again");
        });
        assert_eq!(routes(table), Vec::new());
        netlink(async |handle| assert_eq!(index(&handle, NAME).await, None));
    });
}

/// Another program may remove routes; the next call puts them back.
#[test]
fn what_others_remove_comes_back() {
    isolated(|| {
        block_on(async {
            let networks = vec!["2001::/32".parse().unwrap()];
            let tun = Tun::open(Some(NAME)).unwrap();
            let mut held = AnnouncedRoutes::new(tun, 99, networks).await.unwrap();
            held.set(Some(100)).await.unwrap();
            held.remove("2001::/32".parse().unwrap(), 100)
                .await
                .unwrap();
            held.set(Some(100)).await.unwrap();
            let seen = std::thread::scope(|scope| scope.spawn(|| routes(99)).join()).unwrap();
            assert_eq!(seen, [("2001::/32".to_owned(), 100)]);
        });
    });
}

#[test]
fn a_network_is_written_as_it_is() {
    for text in [
        "0.0.0.0/0",
        "192.0.2.99/32",
        "192.0.2.0/24",
        "::/0",
        "2001::/32",
    ] {
        let network: Network = text.parse().unwrap();
        assert_eq!(network.to_string(), text);
    }
    for wrong in [
        "192.0.2.99",
        "192.0.2.99/33",
        "192.0.2.99/24",
        "2001::1/32",
        "2001::/129",
        "2001::/+32",
        "2001::/",
        "/32",
        "",
    ] {
        assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
    }
    assert_eq!(
        Network::from(Ipv4Addr::new(192, 0, 2, 99)).to_string(),
        "192.0.2.99/32"
    );
}
