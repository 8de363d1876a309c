use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A host in the /64 of this number in this /32.
fn source(network: u16, subnet: u32, host: u16) -> Ipv6Addr {
    let [high, low] = [(subnet >> 16) as u16, subnet as u16];
    Ipv6Addr::new(0x2001, network, high, low, 0, 0, 0, host)
}

fn request(server: Ipv4Addr, sender: Ipv6Addr) -> Request {
    Request {
        server,
        sender,
        mapping: None,
    }
}

/// 400 bubbles a second to each server, and 4,000 in total.
fn admission() -> Admission {
    Admission::new(400, 4000, SipKeys(1, 2))
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
            let from = source((millis * 20 + packet) as u16, 1, 1);
            admission.allow(at(millis), request(SERVER, from), 0)
        })
        .count();
    assert!((4300..=4401).contains(&sent), "{sent}");
}

/// R4380-7.3.5-01: a /64 that scans uses up a quarter of the rate, a /48 three eighths and a /32 a half. Others are not
/// affected.
#[test]
fn networks_have_shares() {
    for (subnets, step, share) in [(1, 1, 100), (1000, 1, 150), (1000, 1 << 16, 200)] {
        let mut admission = admission();
        let mut scan = |host: u32| {
            let from = source(0xdb8, host % subnets * step, host as u16);
            admission.allow(at(0), request(SERVER, from), 0)
        };
        assert_eq!((0..5000).filter(|&host| scan(host)).count(), share);
        let elsewhere = request(SERVER, source(0xdb9, 0, 1));
        assert!(admission.allow(at(0), elsewhere, 0));
        let other = Ipv4Addr::new(192, 0, 2, 17);
        assert!(admission.allow(at(0), request(other, source(0xdb8, 7, 1)), 0));
    }
}

/// R4380-7.3.5-01, R4380-7.4-01: a network's sweep of servers is bounded in sum, and does not hinder other networks.
#[test]
fn networks_have_shares_of_the_total() {
    let mut admission = admission();
    let mut sweep = |network, step: u32| {
        (0..65_536_u32)
            .filter(|&number| {
                let server = Ipv4Addr::from_bits(0x0600_0000 + number);
                let sender = source(network, number * step, 1);
                (0..4).any(|repetition| admission.allow(at(0), request(server, sender), repetition))
            })
            .count()
    };
    assert_eq!(sweep(0xdb8, 0), 1000, "a /64");
    assert_eq!(sweep(0xdb9, 1), 1500, "a /48");
    for network in 0xdba..0xdca {
        assert_eq!(sweep(network, 1 << 16), 2000, "a /32");
    }
}

/// R4380-7.3.5-01: a single silent client is asked four times, and fewer times the more of the rate is used up.
#[test]
fn repetitions_need_room() {
    let allowed = |used: u32| {
        let mut admission = admission();
        for number in 0..used {
            let server = Ipv4Addr::from_bits(0x0600_0000 + number);
            let from = source(number as u16, 1, 1);
            assert!(admission.allow(at(0), request(server, from), 0));
        }
        let client = request(SERVER, source(0xdb8, 0, 1));
        let allowed = (0..4).map(|repetition| admission.allow(at(0), client, repetition));
        allowed.collect::<Vec<_>>()
    };
    assert_eq!(allowed(0), [true; 4]);
    assert_eq!(allowed(900), [true; 4]);
    assert_eq!(allowed(1500), [true, true, true, false]);
    assert_eq!(allowed(2500), [true, true, false, false]);
    assert_eq!(allowed(3500), [true, false, false, false]);
    // The smallest rates are enough for the single silent client.
    let mut least = Admission::new(1, 1, SipKeys(1, 2));
    for repetition in 0..4 {
        let now = at(u64::from(repetition) * 2000);
        assert!(least.allow(now, request(SERVER, source(0xdb8, 0, 1)), repetition));
    }
}

/// R4380-7.3.5-01: a sender that reaches clients is not limited; the token of a direct bubble does not count as an answer.
#[test]
fn answered_bubbles_do_not_count() {
    let mut admission = admission();
    let client = request(SERVER, source(0xdb8, 0, 1));
    for _ in 0..10_000 {
        assert!(admission.allow(at(0), client, 0) && admission.allow(at(0), client, 1));
        admission.give_back(client, 2);
    }
    let scanned = (0..1000).filter(|_| admission.allow(at(0), client, 0));
    assert_eq!(
        scanned.count(),
        100,
        "and no more than was taken comes back"
    );

    let direct = Request {
        mapping: Some(Ipv4Addr::new(203, 0, 113, 5)),
        ..request(Ipv4Addr::new(192, 0, 2, 17), source(0xdb9, 0, 1))
    };
    let sent = (0..1000).filter(|_| {
        let allowed = admission.allow(at(0), direct, 0);
        admission.give_back(direct, 1);
        allowed
    });
    assert_eq!(sent.count(), 100);
}

/// R4380-7.4.3-01, R4380-5.4.1-10: direct bubbles to one address are bounded, whatever the servers and networks, and a
/// refused bubble uses up no rate.
#[test]
fn an_address_gets_a_share() {
    let mut admission = admission();
    let victim = Ipv4Addr::new(203, 0, 113, 5);
    let direct = |server, sender| Request {
        mapping: Some(victim),
        ..request(server, sender)
    };
    let mut sent = 0;
    for number in 0..2000_u16 {
        let server = Ipv4Addr::from_bits(0x0600_0000 + u32::from(number));
        sent += u32::from(admission.allow(at(0), direct(server, source(number, 1, 1)), 0));
    }
    assert_eq!(sent, 100);
    let from = direct(SERVER, source(1, 1, 1));
    assert!(admission.allow(at(10), from, 0));
    assert!(!admission.allow(at(10), from, 0));
}

/// A day after a flood nothing is left of it.
#[test]
fn buckets_age() {
    let mut admission = admission();
    let flood = |admission: &mut Admission, now| {
        let flood = (0..50_000_u32).filter(|&number| {
            let server = Ipv4Addr::from_bits(0x0600_0000 + number % 30);
            let sender = source(number as u16, number, 1);
            admission.allow(now, request(server, sender), 0)
        });
        flood.count()
    };
    let first = flood(&mut admission, at(0));
    assert_eq!(first, 30 * 400);
    assert_eq!(flood(&mut admission, at(86_400_000)), first);
}
