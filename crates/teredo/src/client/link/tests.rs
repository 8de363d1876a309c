use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn on_link(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, host)
}

/// R4380-7.4-01: sixteen strangers on the link at a time, a silent one makes room after 30 s, and addresses elsewhere are
/// not counted.
#[test]
fn few_strangers_on_the_link() {
    let mut links = Links {
        subnets: vec![LocalSubnet {
            address: on_link(1),
            prefix_len: 24,
        }],
        ..Links::default()
    };
    let admitted = (2..=250).filter(|&host| links.admit(at(0), on_link(host)));
    assert_eq!(admitted.count(), PLACES);
    assert!(links.admit(at(10), on_link(2)), "it is one of them");
    assert!(!links.admit(at(29), on_link(100)));
    let others = (0..1000).filter(|&host| links.admit(at(29), Ipv4Addr::from_bits(host << 8)));
    assert_eq!(others.count(), 1000);
    assert!(links.admit(at(30), on_link(100)));
    assert!(links.admit(at(39), on_link(2)), "it was heard at 10 s");
    for host in 2..=250 {
        links.heard(at(60), on_link(host));
    }
    assert!(
        !links.admit(at(89), on_link(101)),
        "all are in conversation"
    );
}
