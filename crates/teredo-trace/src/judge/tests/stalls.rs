//! Exchanges that stop, and those that only look so.

use super::*;

/// R4380-5.2.1-05, R4380-5.2.1-12
#[test]
fn a_silent_server_is_a_stall() {
    let ask = |nonce| solicitation(Some([nonce; 8]), false);
    let silent = Exchange::new()
        .send(0, LOCAL, PRIMARY, ask(1))
        .send(4000, LOCAL, PRIMARY, ask(2))
        .send(8000, LOCAL, PRIMARY, ask(3));
    let trace = silent.trace();
    assert_eq!(trace.stalls.len(), 1);
    assert_eq!(
        (trace.stalls[0].packet, trace.stalls[0].id),
        (3, "stall.solicitation")
    );
    assert!(
        trace.stalls[0]
            .text
            .starts_with("3 solicitations in 8.0 s have no answer")
    );

    let half = Exchange::new()
        .send(0, LOCAL, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, LOCAL, Advert::new(MAPPED).bytes())
        .send(21, LOCAL, SECONDARY, ask(2));
    assert_eq!(
        half.trace().stalls,
        [],
        "the capture ends too early to tell"
    );
    let trace = half.until(10_000).trace();
    assert_eq!(trace.stalls.len(), 1);
    assert!(
        trace.stalls[0].text.contains("without the second answer"),
        "{:?}",
        trace.stalls
    );
}

/// R4380-5.2.4-03, R4380-5.2.4-06: what waits is dropped.
#[test]
fn bubbles_and_pings_without_an_answer_are_stalls() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
        .send(1001, LOCAL, PRIMARY, bubble(own, peer, &[]))
        .send(1002, LOCAL, PRIMARY, ping(own, client(HOST), &[7; 8]))
        .until(9000)
        .trace();
    let stalls: Vec<_> = trace
        .stalls
        .iter()
        .map(|stall| (stall.packet, stall.id))
        .collect();
    assert_eq!(stalls, [(6, "stall.bubble"), (7, "stall.ping")]);
    assert!(
        trace.stalls[0]
            .text
            .contains("nothing of the peer was seen")
    );

    let indirect = Exchange::new()
        .qualified()
        .send(1000, LOCAL, PEER, bubble(own, peer, &[]))
        .send(1001, LOCAL, PRIMARY, bubble(own, peer, &[]))
        .send(
            1100,
            PRIMARY,
            LOCAL,
            passed_on(PEER, &bubble(peer, own, &[])),
        )
        .until(9000)
        .trace();
    assert_eq!(indirect.stalls.len(), 1);
    assert!(indirect.stalls[0].text.contains("through its server alone"));
}

/// A bubble in answer to a peer's is not waited for: the other side stalls, if any.
#[test]
fn an_answer_is_no_stall() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(
            1000,
            PRIMARY,
            LOCAL,
            passed_on(PEER, &bubble(peer, own, &[])),
        )
        .send(1001, LOCAL, PEER, bubble(own, peer, &[]))
        .until(9000)
        .trace();
    assert_eq!(trace.stalls, []);
}

/// L-01
#[test]
fn a_server_that_sends_to_itself_loops() {
    let mut looping = teredo::wire::TeredoAddress::from_ipv6(teredo(MAPPED)).unwrap();
    looping.mapped = end(PRIMARY);
    let trace = Exchange::new()
        .qualified()
        .send(
            1000,
            PRIMARY,
            PRIMARY,
            passed_on(PRIMARY, &bubble(looping.to_ipv6(), looping.to_ipv6(), &[])),
        )
        .trace();
    assert!(
        of(&trace, 5).contains(&"R4380-5.3.1-16"),
        "{:?}",
        of(&trace, 5)
    );
}

#[test]
fn the_server_of_the_sample_is_as_real_ones() {
    assert_eq!(
        server_link_local([192, 0, 2, 1].into()).to_string(),
        "fe80::8000:f227:3fff:fdfe"
    );
    assert!(Flags::CONE.is_cone());
}

/// R4380-5.2.4-03, R4380-5.2.6-05, R4380-5.2.9-01: at the server, direct answers do not pass.
#[test]
fn at_the_server_nothing_is_missing() {
    let (own, peer, host) = (teredo(MAPPED), teredo(PEER), client(HOST));
    let mut exchange = Exchange::new()
        .send(0, MAPPED, PRIMARY, solicitation(Some(NONCE), false))
        .send(20, PRIMARY, MAPPED, Advert::new(MAPPED).bytes());
    for round in 0..6 {
        let (at, packet) = (10_000 + round * 45_000, bubble(own, peer, &[]));
        exchange = exchange.send(at, MAPPED, PRIMARY, packet.clone()).send(
            at + 1,
            PRIMARY,
            PEER,
            passed_on(MAPPED, &packet),
        );
    }
    let trace = exchange
        .send(300_000, MAPPED, PRIMARY, ping(own, host, &[7; 8]))
        .until(400_000)
        .trace();
    assert_eq!(all_ids(&trace), []);
    assert_eq!(trace.notes.len(), 1);
    assert!(
        trace.notes[0].contains("by way of the server"),
        "{:?}",
        trace.notes
    );
}

/// The same at a client, with the filter `udp port 3544`; a peer that has the port itself does not change it.
#[test]
fn behind_a_filter_for_the_port_nothing_is_missing() {
    let (own, peer, host) = (teredo(MAPPED), teredo(PEER), client(HOST));
    let on_port = "198.51.100.8:3544";
    let trace = Exchange::new()
        .qualified()
        .send(1000, LOCAL, on_port, bubble(own, teredo(on_port), &[]))
        .send(1040, on_port, LOCAL, bubble(teredo(on_port), own, &[]))
        .send(2000, LOCAL, PRIMARY, bubble(own, peer, &[]))
        .send(
            2100,
            PRIMARY,
            LOCAL,
            passed_on(PEER, &bubble(peer, own, &[])),
        )
        .send(5000, LOCAL, PRIMARY, ping(own, host, &[7; 8]))
        .until(30_000)
        .trace();
    assert_eq!(all_ids(&trace), []);
    assert_eq!(trace.notes.len(), 1);
}

/// R4380-5.4.1-03: at a relay, the clients' contacts with others do not pass, but the relay's own do.
#[test]
fn at_a_relay_its_own_contacts_show() {
    let (own, peer, host) = (teredo(MAPPED), teredo(PEER), client(HOST));
    let trace = Exchange::new()
        .send(0, RELAY, PRIMARY, bubble(host, own, &[]))
        .send(100, MAPPED, RELAY, bubble(own, host, &[]))
        .send(101, RELAY, MAPPED, data(host, own))
        // The server is on the same host.
        .send(200, MAPPED, PRIMARY, bubble(own, peer, &[]))
        .send(
            201,
            PRIMARY,
            PEER,
            passed_on(MAPPED, &bubble(own, peer, &[])),
        )
        .send(
            300,
            MAPPED,
            PRIMARY,
            ping(own, client("2001:db8::2"), &[7; 8]),
        )
        .send(1000, RELAY, PRIMARY, bubble(host, peer, &[]))
        .until(30_000)
        .trace();
    assert_eq!(all_ids(&trace), [(7, "stall.bubble")]);
    assert_eq!(trace.notes.len(), 1);
}

/// R4380-5.2.4-03: copies on several interfaces are one event, and the client waits after each.
#[test]
fn copies_are_no_further_bubbles() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let packet = || bubble(own, peer, &[]);
    let copied = |end| {
        Exchange::new()
            .qualified()
            .send(5000, LOCAL, PEER, packet())
            .send(5000, MAPPED, PEER, packet())
            .send(5001, LOCAL, PRIMARY, packet())
            .send(5001, MAPPED, PRIMARY, packet())
            .until(end)
            .trace()
    };
    assert_eq!(copied(5100).stalls, []);
    let stalled = copied(8000);
    assert!(
        stalled.stalls[0].text.starts_with("2 bubbles in 0.0 s"),
        "{:?}",
        stalled.stalls
    );
    let twice = Exchange::new()
        .qualified()
        .send(5000, LOCAL, PEER, packet())
        .send(5001, LOCAL, PRIMARY, packet())
        .send(7000, LOCAL, PEER, packet())
        .send(7001, LOCAL, PRIMARY, packet());
    assert_eq!(twice.until(7100).trace().stalls, [], "it still waits");
}

/// R4380-5.2.6-05, A-07: answers to a peer that is not heard directly have a count of their own.
#[test]
fn answers_are_counted_apart() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let with = |answers: u64| {
        let mut exchange = Exchange::new().qualified();
        for round in 0..4 {
            exchange = exchange.send(1000 + round * 10_000, LOCAL, PEER, bubble(own, peer, &[]));
        }
        for round in 0..answers {
            let at = 5000 + round * 10_000;
            let asks = passed_on(PEER, &bubble(peer, own, &[]));
            exchange = exchange.send(at, PRIMARY, LOCAL, asks).send(
                at + 5,
                LOCAL,
                PEER,
                bubble(own, peer, &[]),
            );
        }
        exchange.sent.sort_by_key(|sent| sent.at);
        let ids = all_ids(&exchange.trace());
        ids.iter().filter(|(_, id)| *id == "R4380-5.2.6-05").count()
    };
    assert_eq!((with(4), with(5)), (0, 1));
}

/// R4380-5.2.1-12: a refresh without an answer is no missing second answer.
#[test]
fn an_earlier_answer_is_remembered() {
    let trace = Exchange::new()
        .qualified()
        .send(30_000, LOCAL, PRIMARY, solicitation(Some([9; 8]), false))
        .until(60_000)
        .trace();
    assert_eq!(trace.stalls.len(), 1);
    assert!(
        trace.stalls[0].text.ends_with("earlier ones were answered"),
        "{:?}",
        trace.stalls
    );
}
