//! Forged and broken datagrams.

use teredo_sim::NatBehaviour;

use super::network::{Network, SERVER};
use super::*;
use crate::probe::nat::Kind;

const NONCE: usize = 4;

/// Answers with another nonce are ignored and counted, whatever they say.
#[test]
fn a_forged_nonce_changes_nothing() {
    for (name, behaviour, expected) in kinds() {
        let mut network = Network::new(behaviour);
        network.forge = Some(|answer| {
            let mut forged = answer.to_vec();
            forged[NONCE] ^= 1;
            // Another mapping.
            forged[15] ^= 0xff;
            forged
        });
        let report = network.probe();
        is_right(name, &report, &expected);
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.id == "answer.forged"),
            "{name}"
        );
    }
}

/// Broken datagrams of the server's address are named, and change nothing.
#[test]
fn garbage_changes_nothing() {
    let mut network = Network::new(Some(NatBehaviour::restricted()));
    network.forge = Some(|answer| answer[..answer.len() / 2].to_vec());
    let report = network.probe();
    assert_eq!(report.nat.kind, Some(Kind::Restricted));
    assert!(report.qualifies);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.id == "answer.malformed")
    );
}

fn core() -> Core {
    let locals = [1, 2, 3, 4].map(|port| SocketAddrV4::new([192, 168, 1, 2].into(), port));
    let now = Instant::from_nanos(0);
    let end = now + Duration::from_secs(1);
    Core::new(now, end, [9; 32], ServerAddress::adjacent(SERVER), locals)
}

/// Another program may have the port: that is said once, with the number of datagrams, and a secret or a firewall is not
/// suspected.
#[test]
fn garbage_alone_is_no_teredo_server() {
    let mut core = core();
    let from = SocketAddrV4::new(SERVER, PORT);
    for length in 1..=50 {
        core.handle(Instant::from_nanos(1), 0, from, &vec![0xff; length]);
    }
    core.tick(core.end);
    let report = Report::new("server", core);
    let ids: Vec<_> = report.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["server.not-teredo", "answer.malformed"]);
    let text = &report.findings[1].text;
    assert!(
        text.contains("50 datagrams") && text.contains("the first of 1 bytes"),
        "{text}"
    );
    assert!(!report.answers);
}

/// An error "port unreachable" says that no process has the port only if the server's own host says it.
#[test]
fn a_firewall_on_the_way_speaks_for_itself() {
    for (by, id, words) in [
        (SERVER, "server.no-process", "no process has UDP port 3544"),
        (
            Ipv4Addr::new(198, 51, 100, 1),
            "server.prohibited",
            "198.51.100.1, which is not the server, refuses it",
        ),
    ] {
        let mut core = core();
        let refused = Refused {
            refusal: Refusal::NoPort,
            by: Some(by),
        };
        core.refused(
            Instant::from_nanos(1),
            0,
            SocketAddrV4::new(SERVER, PORT),
            refused,
        );
        core.tick(core.end);
        let finding = &Report::new("server", core).findings[0];
        assert_eq!(finding.id, id);
        assert!(finding.text.contains(words), "{}", finding.text);
    }
}

/// An attacker cannot make it grow or stop: findings and work have a bound.
#[test]
fn a_flood_is_bounded() {
    let mut core = core();
    let from = SocketAddrV4::new(SERVER, PORT);
    for length in 0..20_000_usize {
        core.handle(Instant::from_nanos(1), 0, from, &vec![0xff; length % 1500]);
    }
    assert!(core.take_findings().len() <= MAX_FINDINGS);
    assert!(!core.heard);
    for port in 0..10_000 {
        let refused = Refused {
            refusal: Refusal::NoPort,
            by: None,
        };
        core.refused(Instant::from_nanos(2), 0, from, refused.clone());
        core.refused(
            Instant::from_nanos(2),
            9,
            SocketAddrV4::new(SERVER, port),
            refused,
        );
    }
    assert!(core.refusals.len() <= 64);
    assert!(
        core.deadline().is_some(),
        "errors do not end the probe before its time"
    );
}

/// An answer from a third address is none, even with the nonce (RFC 4380 §5.2.1).
#[test]
fn an_answer_of_a_third_address_is_no_answer() {
    let mut core = core();
    let mut server = teredo::Server::new(
        teredo::ServerConfig::new(ServerAddress::adjacent(SERVER)),
        [1; 32],
    );
    let transmit = core.poll_transmit().expect("the first solicitation");
    let len = transmit.payload.len();
    let mut buffer = transmit.payload;
    buffer.resize(server.buffer_len(), 0);
    let client = SocketAddrV4::new([192, 0, 2, 1].into(), 4096);
    let now = Instant::from_nanos(1);
    let answer = server.answer_in_place(now, client, SERVER, &mut buffer, len);
    let Ok(teredo::server::Answer::Udp { len, .. }) = answer else {
        panic!("{answer:?}");
    };
    let stranger = SocketAddrV4::new([198, 51, 100, 9].into(), PORT);
    core.handle(now, 0, stranger, &buffer[..len]);
    assert!(!core.is_answered(Test::AskPrimary));
    assert!(
        core.take_findings()
            .iter()
            .any(|finding| finding.id == "answer.other-address")
    );
    // The right address, the wrong port of ours.
    core.handle(now, 1, SocketAddrV4::new(SERVER, PORT), &buffer[..len]);
    assert!(!core.is_answered(Test::AskPrimary));
    core.handle(now, 0, SocketAddrV4::new(SERVER, PORT), &buffer[..len]);
    assert_eq!(core.mapping(Test::AskPrimary), Some(client));
}

/// A bubble is the server's only if it comes from the server's primary address and port, and to the right port of ours.
#[test]
fn a_bubble_of_a_stranger_proves_nothing() {
    let mut core = core();
    core.series[Test::AskPrimary as usize].answer =
        Some(Some(SocketAddrV4::new([192, 0, 2, 1].into(), 4096)));
    let now = Instant::from_nanos(1_000_000);
    core.tick(now);
    let transmits: Vec<_> = std::iter::from_fn(|| core.poll_transmit()).collect();
    let is_bubble = |bytes: &[u8]| {
        let datagram = teredo::wire::Datagram::parse(bytes);
        datagram.is_ok_and(|datagram| datagram.packet.is_bubble())
    };
    let bubble = transmits
        .iter()
        .find(|transmit| is_bubble(&transmit.payload))
        .expect("a bubble to ourselves");
    for (at, from) in [
        (0, SocketAddrV4::new([198, 51, 100, 9].into(), PORT)),
        (0, SocketAddrV4::new(SERVER, 3545)),
        (1, SocketAddrV4::new(SERVER, PORT)),
    ] {
        core.handle(now, at, from, &bubble.payload);
        assert!(!core.is_answered(Test::BubbleSelf), "{from} to {at}");
    }
    core.handle(now, 0, SocketAddrV4::new(SERVER, PORT), &bubble.payload);
    assert!(core.is_answered(Test::BubbleSelf));
}
