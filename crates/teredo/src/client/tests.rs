//! Cases that the simulated internet in `tests/` cannot show.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use super::*;
use crate::wire::{
    Authentication, Datagram, Origin, PORT, PrefixInformation, RouterAdvertisement, emit_bubble,
    server_link_local, server_prefix,
};
use crate::{Destination, IcmpErrorKind, Submission};

const SERVER: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(203, 0, 113, 120),
    secondary: Ipv4Addr::new(203, 0, 113, 121),
};
const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50_000);
const MAPPED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), PORT);
const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 8192);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn transmits(client: &mut Client) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let mut all = Vec::new();
    let mut bytes = Vec::new();
    while let Some(transmit) = client.poll_transmit(&mut bytes) {
        if let Destination::Udp(to) = transmit.destination {
            all.push((to, bytes.clone()));
        }
        bytes.clear();
    }
    all
}

fn advertisement(solicitation: &[u8]) -> Vec<u8> {
    advertisement_of(solicitation, MAPPED)
}

fn advertisement_of(solicitation: &[u8], mapped: SocketAddrV4) -> Vec<u8> {
    let asked = Datagram::parse(solicitation).unwrap();
    let mut bytes = Vec::new();
    Authentication::nonce_only(asked.authentication.unwrap().nonce).emit(&mut bytes);
    Origin(mapped).emit(&mut bytes);
    let prefix = PrefixInformation {
        prefix: server_prefix(SERVER.primary),
        length: 64,
        on_link: false,
        autonomous: true,
        valid_lifetime: PrefixInformation::INFINITE,
        preferred_lifetime: PrefixInformation::INFINITE,
    };
    let advertisement = RouterAdvertisement {
        prefixes: vec![prefix],
        ..RouterAdvertisement::default()
    };
    let router = server_link_local(SERVER.primary);
    advertisement.emit(router, asked.packet.source(), &mut bytes);
    bytes
}

/// A client at [`MAPPED`], and its address.
fn qualified() -> (Client, Ipv6Addr) {
    let mut client = Client::new(ClientConfig::default(), [1; 32], at(0));
    client.start(at(0), LOCAL, &[SERVER]);
    for (server, solicitation) in transmits(&mut client) {
        let bytes = advertisement(&solicitation);
        assert_eq!(receive(&mut client, at(0), server, &bytes), None);
    }
    let own = client
        .status()
        .address
        .expect("both advertisements have come");
    (client, own)
}

/// The reason if the datagram was dropped.
fn receive(
    client: &mut Client,
    now: Instant,
    from: SocketAddrV4,
    bytes: &[u8],
) -> Option<DropReason> {
    match client.handle_udp(now, from, *LOCAL.ip(), bytes) {
        Reception::Drop(reason) => Some(reason),
        _ => None,
    }
}

fn peer(server: Ipv4Addr) -> Ipv6Addr {
    let flags = Flags::default();
    TeredoAddress {
        server,
        flags,
        mapped: PEER,
    }
    .to_ipv6()
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::wire::emit_echo_request(source, destination, 64, 1, 1, &[], &mut bytes);
    bytes
}

/// R4380-5.2.1-07, R4380-5.2.5-03: an invalid answer with the right nonce does not spoil the right answer after it,
/// neither in qualification nor in service.
#[test]
fn a_right_answer_counts_after_an_invalid_one() {
    let mut client = Client::new(ClientConfig::default(), [1; 32], at(0));
    client.start(at(0), LOCAL, &[SERVER]);
    let answer = |client: &mut Client, now| {
        for (server, solicitation) in transmits(client) {
            let right = advertisement(&solicitation);
            let mut invalid = right.clone();
            invalid.drain(Authentication::MIN_LEN..Authentication::MIN_LEN + Origin::LEN);
            let dropped = receive(client, now, server, &invalid);
            assert_eq!(dropped, Some(DropReason::InvalidAdvertisement));
            assert_eq!(receive(client, now, server, &right), None);
        }
    };
    answer(&mut client, at(0));
    let own = client.status().address;
    assert!(own.is_some());

    client.handle_timeout(at(30));
    answer(&mut client, at(30));
    client.handle_timeout(at(34));
    assert_eq!(transmits(&mut client), [], "the refresh is over");
    assert_eq!(client.status().address, own);
}

/// L-03: neither a forged origin nor a server field makes the client send to itself through a hairpin.
#[test]
fn no_bubble_goes_to_the_own_mapping() {
    let (mut client, own) = qualified();
    let mut bubble = Vec::new();
    Origin(MAPPED).emit(&mut bubble);
    emit_bubble("2001:db8::1".parse().unwrap(), own, 255, &mut bubble);
    let server = SocketAddrV4::new(SERVER.primary, PORT);
    let dropped = receive(&mut client, at(1), server, &bubble);
    assert_eq!(dropped, Some(DropReason::OwnAddress));

    let submission = client.handle_tun(at(1), &packet(own, peer(*MAPPED.ip())));
    assert_eq!(submission, Submission::Drop(DropReason::OwnAddress));
    assert_eq!(transmits(&mut client), []);
}

/// R4380-5.2.4-07: nothing is sent to a destination that a new policy refuses, even if its path is proven or about to
/// be.
#[test]
fn a_new_policy_holds_for_peers_already_known() {
    let peer = peer(Ipv4Addr::new(198, 51, 100, 118));
    let refuse = |client: &mut Client, address: Ipv4Addr| {
        let mut destinations = DestinationPolicy::default();
        destinations.set_broadcasts(vec![address]);
        client.set_destinations(destinations);
    };

    let (mut client, own) = qualified();
    let bytes = packet(own, peer);
    assert_eq!(client.handle_tun(at(1), &bytes), Submission::Queued);
    assert_eq!(transmits(&mut client).len(), 2);
    // A peer is refused with its server, because half a pair of bubbles reaches nobody.
    refuse(&mut client, Ipv4Addr::new(198, 51, 100, 118));
    assert_eq!(client.drops().get(DropReason::RefusedDestination), 1);
    client.handle_timeout(at(3));
    assert_eq!(transmits(&mut client), []);

    let (mut client, own) = qualified();
    let bytes = packet(own, peer);
    assert_eq!(receive(&mut client, at(1), PEER, &packet(peer, own)), None);
    assert_eq!(client.handle_tun(at(1), &bytes), Submission::Send(PEER));
    refuse(&mut client, Ipv4Addr::new(192, 0, 2, 255));
    assert_eq!(client.handle_tun(at(1), &bytes), Submission::Send(PEER));
    refuse(&mut client, *PEER.ip());
    assert_eq!(
        client.handle_tun(at(1), &bytes),
        Submission::Drop(DropReason::RefusedDestination)
    );
}

/// R4380-5.2.4-07, R4380-5.2.7-08: a new policy also applies to the mapping of the secondary port, and a port that
/// cannot be tested is closed.
#[test]
fn a_new_policy_holds_for_the_secondary_port() {
    let secondary_mapped = SocketAddrV4::new(*MAPPED.ip(), 6000);
    let config = ClientConfig {
        determine_refresh_interval: true,
        ..ClientConfig::default()
    };
    let mut client = Client::new(config, [1; 32], at(0));
    client.start(at(0), LOCAL, &[SERVER]);
    for (server, solicitation) in transmits(&mut client) {
        let bytes = advertisement(&solicitation);
        assert_eq!(receive(&mut client, at(0), server, &bytes), None);
    }
    client.secondary_port(at(0), Some(SocketAddrV4::new(*LOCAL.ip(), 50_001)));
    let mut solicitation = Vec::new();
    while let Some(asked) = client.poll_transmit(&mut solicitation) {
        let Destination::Secondary(server) = asked.destination else {
            panic!("not from the secondary port: {asked:?}")
        };
        let bytes = advertisement_of(&solicitation, secondary_mapped);
        let received = client.handle_secondary(at(0), server, &bytes);
        assert_eq!(received, Reception::Consumed);
        solicitation.clear();
    }
    while client.poll_event().is_some() {}

    let mut destinations = DestinationPolicy::default();
    destinations.set_broadcasts(vec![*secondary_mapped.ip()]);
    client.set_destinations(destinations);
    client.handle_timeout(at(60));
    let sent = transmits(&mut client);
    assert!(sent.iter().all(|(to, _)| *to != secondary_mapped));
    let closed = Event::SecondaryPort { wanted: false };
    assert_eq!(client.poll_event(), Some(closed));
}

/// R4380-5.2.6-04: a router's report repeats a bubble only within its attempt. Here the timer for the next one is late.
#[test]
fn a_late_report_repeats_no_bubble() {
    let report = IcmpError {
        kind: IcmpErrorKind::TimeExceeded,
        reporter: Ipv4Addr::new(192, 168, 1, 1),
        destination: PEER,
        quoted: &[],
    };
    for (reported, repeated) in [(1, 1), (60, 0)] {
        let (mut client, own) = qualified();
        let peer = TeredoAddress {
            server: SERVER.primary,
            flags: Flags::default(),
            mapped: PEER,
        };
        let mut packet = Vec::new();
        crate::wire::emit_echo_request(own, peer.to_ipv6(), 64, 1, 1, &[], &mut packet);
        assert_eq!(client.handle_tun(at(1), &packet), Submission::Queued);
        transmits(&mut client);
        client.handle_icmp_error(at(reported), &report);
        assert_eq!(transmits(&mut client).len(), repeated, "{reported} s");
    }
}
