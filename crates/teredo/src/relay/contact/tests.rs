use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn source(network: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host)
}

fn admission() -> Admission {
    Admission::new(400, SipKeys(1, 2))
}

/// R4380-7.3.5-01, R4380-7.4-01: in ten seconds, a scan causes no more bubbles to a server than the rate, plus those of
/// one second at the start.
#[test]
fn a_server_gets_what_the_rate_says() {
    let mut admission = admission();
    let sent = (0..10_000_u64)
        .flat_map(|millis| (0..20).map(move |packet| (millis, packet)))
        .filter(|&(millis, packet)| {
            // From everywhere.
            let from = source((millis * 20 + packet) as u16, 1);
            admission.allow(at(millis), SERVER, from, None)
        })
        .count();
    assert!((4300..=4401).contains(&sent), "{sent}");
}

/// R4380-7.3.5-01: a network that scans uses up a quarter of the rate, and others are not affected.
#[test]
fn a_network_has_a_share() {
    let mut admission = admission();
    let mut scan = |host| admission.allow(at(0), SERVER, source(1, host), None);
    assert_eq!((0..1000).filter(|&host| scan(host)).count(), 100);
    assert!(admission.allow(at(0), SERVER, source(2, 1), None));
    let other = Ipv4Addr::new(192, 0, 2, 17);
    assert!(admission.allow(at(0), other, source(1, 1), None));
}

/// R4380-7.4.3-01, R4380-5.4.1-10: direct bubbles to one address are bounded, whatever the servers and networks, and a
/// refused bubble uses up no rate.
#[test]
fn an_address_gets_a_share() {
    let mut admission = admission();
    let victim = Ipv4Addr::new(203, 0, 113, 5);
    let mut sent = 0;
    for number in 0..2000_u16 {
        let server = Ipv4Addr::from_bits(0x0600_0000 + u32::from(number));
        sent += u32::from(admission.allow(at(0), server, source(number, 1), Some(victim)));
    }
    assert_eq!(sent, 100);
    assert!(admission.allow(at(10), SERVER, source(1, 1), Some(victim)));
    assert!(!admission.allow(at(10), SERVER, source(1, 1), Some(victim)));
}
