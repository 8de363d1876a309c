use teredo::wire::{Authentication, Flags, Origin, link_local};

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);

fn own() -> Ipv6Addr {
    link_local(
        Flags::default(),
        "192.168.1.2:50000".parse().expect("an address"),
    )
}

fn mapped() -> SocketAddrV4 {
    "192.0.2.1:4096".parse().expect("an address")
}

fn information() -> PrefixInformation {
    PrefixInformation {
        prefix: teredo::wire::server_prefix(SERVER),
        length: 64,
        on_link: false,
        autonomous: true,
        valid_lifetime: PrefixInformation::INFINITE,
        preferred_lifetime: PrefixInformation::INFINITE,
    }
}

fn good() -> RouterAdvertisement {
    RouterAdvertisement {
        prefixes: vec![information()],
        mtu: Some(1280),
        ..Default::default()
    }
}

/// The identifiers of the findings, and whether a client accepts it.
fn judged(bytes: &[u8]) -> (Vec<&'static str>, bool) {
    let datagram = Datagram::parse(bytes).expect("a datagram");
    let verdict = advertisement(&datagram, own());
    let ids = verdict.findings.iter().map(|finding| finding.id).collect();
    (ids, verdict.accepted.is_some())
}

fn datagram(
    advertisement: &RouterAdvertisement,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    Authentication::nonce_only([1; 8]).emit(&mut bytes);
    Origin(mapped()).emit(&mut bytes);
    advertisement.emit(source, destination, &mut bytes);
    bytes
}

fn answer(advertisement: &RouterAdvertisement) -> Vec<u8> {
    datagram(advertisement, server_link_local(SERVER), own())
}

#[test]
fn a_good_advertisement_has_no_finding() {
    let bytes = answer(&good());
    assert_eq!(judged(&bytes), (vec![], true));
    let datagram = Datagram::parse(&bytes).expect("a datagram");
    let accepted = advertisement(&datagram, own()).accepted;
    assert_eq!(
        accepted,
        Some(Accepted {
            server: SERVER,
            mapped: mapped()
        })
    );
}

/// R4380-5.2.1-06: each condition of the client, broken alone.
#[test]
fn what_a_client_refuses_is_named() {
    let source = server_link_local(SERVER);
    let elsewhere = "fe80::1".parse().expect("an address");
    let global = "2001:db8::1".parse().expect("an address");
    let prefix = |text: &str, length| RouterAdvertisement {
        prefixes: vec![PrefixInformation {
            prefix: text.parse().expect("a prefix"),
            length,
            ..information()
        }],
        ..good()
    };
    for (bytes, id) in [
        (
            datagram(&good(), source, elsewhere),
            "advertisement.destination",
        ),
        (datagram(&good(), global, own()), "advertisement.source"),
        (
            answer(&RouterAdvertisement {
                prefixes: vec![],
                ..good()
            }),
            "prefix.count",
        ),
        (
            answer(&RouterAdvertisement {
                prefixes: vec![information(); 2],
                ..good()
            }),
            "prefix.count",
        ),
        (answer(&prefix("2001:db8::", 64)), "prefix.foreign"),
        (answer(&prefix("2001:0:cb00:7178::", 32)), "prefix.foreign"),
        (
            answer(&prefix("3ffe:831f:cb00:7178::", 64)),
            "prefix.obsolete",
        ),
    ] {
        let (ids, accepted) = judged(&bytes);
        assert!(ids.contains(&id) && !accepted, "{id}: {ids:?}");
    }
    let packet = Authentication::MIN_LEN + Origin::LEN;
    for (offset, id) in [
        (7, "advertisement.hop-limit"),
        (42, "advertisement.checksum"),
        (41, "advertisement.checksum"),
    ] {
        let mut bytes = answer(&good());
        bytes[packet + offset] ^= 1;
        assert_eq!(judged(&bytes), (vec![id], false));
    }
    let mut without_origin = answer(&good());
    without_origin.drain(Authentication::MIN_LEN..packet);
    assert_eq!(judged(&without_origin), (vec!["answer.no-origin"], false));
}

/// A client accepts these, and each is worth a remark: the bytes of Microsoft's server have no MTU.
#[test]
fn what_is_unusual_is_named() {
    let odd = |change: fn(&mut RouterAdvertisement)| {
        let mut advertisement = good();
        change(&mut advertisement);
        answer(&advertisement)
    };
    let mut confirmed = answer(&good());
    confirmed[12] = 1;
    for (bytes, id) in [
        (odd(|it| it.mtu = None), "advertisement.no-mtu"),
        (odd(|it| it.mtu = Some(1500)), "advertisement.mtu"),
        (
            odd(|it| it.router_lifetime = 1800),
            "advertisement.router-lifetime",
        ),
        (odd(|it| it.prefixes[0].on_link = true), "prefix.flags"),
        (odd(|it| it.prefixes[0].autonomous = false), "prefix.flags"),
        (
            odd(|it| it.prefixes[0].valid_lifetime = 0),
            "prefix.lifetime",
        ),
        (
            datagram(&good(), "fe80::1".parse().expect("an address"), own()),
            "advertisement.identifier",
        ),
        (confirmed, "answer.confirmation"),
    ] {
        assert_eq!(judged(&bytes), (vec![id], true));
    }
}
