use teredo::wire::{emit_echo_reply, emit_echo_request};

use super::*;
use crate::observation::Observation;
use crate::sample::*;
use crate::trace::Trace;

/// The text without colours, and without spaces at the ends of its lines.
fn text(trace: &Trace) -> String {
    let coloured = Ladder::new(trace).text().to_string();
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let lines: Vec<_> = plain.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn dropped(by: Obstacle) -> Option<Fate> {
    Some(Fate::Dropped {
        by,
        reason: String::from("filtered"),
    })
}

#[test]
fn a_ladder_on_a_terminal() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trace = Exchange::new()
        .qualified()
        .send(5000, LOCAL, PEER, bubble(own, peer, &[]))
        .fated(
            5010,
            PEER,
            LOCAL,
            bubble(peer, own, &[]),
            dropped(Obstacle::ReceiverNat),
        )
        .send(5020, LOCAL, PEER, data(own, peer))
        .send(5030, PEER, LOCAL, data(peer, own))
        .trace();
    let expected = "
                    client 1           NAT           server 1         client 2
                  192.168.1.2      203.0.113.5      192.0.2.1       198.51.100.7
                   port 50000                       192.0.2.2        port 4096
    1    0.000          ├────────────────┼──────────────>│                │  solicitation
    2    0.020          │<───────────────┼───────────────┤                │  advertisement: you are 203.0.113.5:61000
    3    0.021          ├────────────────┼──────────────>│                │  solicitation, to 192.0.2.2
    4    0.041          │<───────────────┼───────────────┤                │  advertisement: you are 203.0.113.5:61000, from 192.0.2.2
                        ·                ·               ·                ·  5.0 s pass
    5    5.000          ├────────────────┼───────────────────────────────>│  bubble
    6    5.010          │                ✗───────────────│────────────────┤  bubble  ✗ filtered
    7    5.020          │<───────────────┼───────────────────────────────>│  protocol 253, 2 packets, 88 B";
    let found = text(&trace);
    let squeeze = |text: &str| {
        let lines = text.trim_matches('\n').lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .map(|line| line.replace(['─', '┆'], ""))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(
        squeeze(&found).replace('│', ""),
        squeeze(expected).replace('│', ""),
        "{found}"
    );
    let widths: Vec<_> = (found.lines().skip(3))
        .filter_map(|line| line.chars().position(|c| c == '┼' || c == '✗'))
        .collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{found}");
}

#[test]
fn a_dropped_datagram_ends_where_it_was_dropped() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    for (by, halves) in [
        (Obstacle::SenderNat, 2),
        (Obstacle::Network, 3),
        (Obstacle::ReceiverNat, 4),
        (Obstacle::Receiver, 6),
    ] {
        let trace = Exchange::new()
            .qualified()
            .fated(100, LOCAL, PEER, bubble(own, peer, &[]), dropped(by))
            .trace();
        let ladder = Ladder::new(&trace);
        let Some(Row::Arrow(arrow)) = ladder.rows.last() else {
            panic!("a row");
        };
        let crossing = arrow.crossing.as_ref().unwrap();
        // The peer has no NAT in the trace: the datagram ends on the way.
        let expected = if by == Obstacle::ReceiverNat {
            3
        } else {
            halves
        };
        assert_eq!(crossing.halves, expected, "{by:?}");
    }
}

#[test]
fn many_nodes_share_a_column() {
    let mut exchange = Exchange::new();
    for host in 1..=40_u8 {
        let from = format!("198.51.100.{host}:5000");
        exchange = exchange.send(
            host.into(),
            &from,
            PRIMARY,
            solicitation(Some([host; 8]), false),
        );
    }
    let ladder = Ladder::new(&exchange.trace());
    assert!(ladder.columns.len() < 30, "{}", ladder.columns.len());
    assert_eq!(ladder.columns.last().unwrap().title, "29 others");
}

#[test]
fn the_picture_is_xml_and_has_no_markup_of_others() {
    let mut tracer = crate::trace::Tracer::new(crate::trace::Limits::default());
    tracer.name(end(LOCAL), "<script>&\"'\u{1}");
    let observation = Observation {
        frame: 1,
        time: Duration::ZERO,
        source: end(LOCAL),
        destination: end(PRIMARY),
        public_source: None,
        inner_destination: None,
        ttl: 64,
        payload: &solicitation(None, true),
        cut: false,
        fate: dropped(Obstacle::SenderNat),
    };
    tracer.observe(&observation);
    let svg = Ladder::new(&tracer.finish()).svg();
    assert!(svg.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "));
    assert!(svg.contains("&lt;script&gt;&amp;&quot;&apos;\u{fffd}") && !svg.contains("<script"));
    assert!(svg.contains("filtered") && svg.contains("class=\"cross\""));
    for name in ["svg", "g", "title", "text", "style"] {
        let opened =
            svg.matches(&format!("<{name}>")).count() + svg.matches(&format!("<{name} ")).count();
        assert_eq!(opened, svg.matches(&format!("</{name}>")).count(), "{name}");
    }
}

#[test]
fn an_empty_trace_is_an_empty_picture() {
    let trace = crate::trace::Tracer::new(crate::trace::Limits::default()).finish();
    assert_eq!(text(&trace), "");
    assert!(Ladder::new(&trace).svg().ends_with("</svg>\n"));
}

/// A row for each pause and each packet, and no more than the limit.
#[test]
fn rows_are_bounded() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let mut exchange = Exchange::new();
    for round in 0..2600 {
        exchange = exchange.send(round * 4000, LOCAL, PEER, data(own, peer));
    }
    let ladder = Ladder::new(&exchange.trace());
    let shown = |row: &&Row| matches!(row, Row::Arrow(_));
    let arrows = ladder.rows.iter().filter(shown).count();
    assert!(ladder.rows.len() <= 5000, "{}", ladder.rows.len());
    assert_eq!(arrows + ladder.left_out, 2600);
    // The programs that draw it have a limit of their own.
    let svg = ladder.svg();
    let (_, rest) = svg.split_once("height=\"").unwrap();
    let height: usize = rest.split_once('"').unwrap().0.parse().unwrap();
    assert!(height <= 32_767, "{height}");
    let left_out = 2600 - svg.matches("<g class").count();
    assert!(
        svg.contains(&format!(">{left_out} packets more<")),
        "{left_out}"
    );
}

/// R6081-5.2.4.4: the same bubble goes around, and directly.
#[test]
fn a_bubble_around_the_nat_is_no_direct_one() {
    let (other, other_mapped) = ("192.168.1.3:50001", "203.0.113.5:62000");
    let mut answer = Advert::new(other_mapped);
    answer.nonce = Some([7; 8]);
    let (own, peer) = (teredo(MAPPED), teredo(other_mapped));
    let trace = Exchange::new()
        .qualified()
        .send(50, other, PRIMARY, solicitation(Some([7; 8]), false))
        .send(70, PRIMARY, other, answer.bytes())
        .send(1000, LOCAL, other_mapped, bubble(own, peer, &[]))
        .send(1001, LOCAL, other, bubble(own, peer, &[]))
        .trace();
    let ladder = Ladder::new(&trace);
    let labels: Vec<_> = (ladder.rows.iter())
        .filter_map(|row| match row {
            Row::Arrow(arrow) => Some(arrow.label.as_str()),
            Row::Gap(_) => None,
        })
        .collect();
    assert_eq!(
        labels[6..],
        ["bubble, by way of the NAT at 203.0.113.5:62000", "bubble"]
    );
}

/// Trailers make long names: the picture is wide enough, and a line of the terminal has an end.
#[test]
fn long_labels_have_room() {
    let ends = [
        "192.168.111.100:41000",
        "192.168.111.101:41001",
        "192.168.111.102:41002",
    ];
    let alternate = teredo::wire::AlternateAddresses::new(&ends.map(end)).unwrap();
    let trailers = [teredo::wire::Trailer::AlternateAddresses(alternate); 3];
    let packet = bubble(teredo(MAPPED), teredo(PEER), &trailers);
    let trace = Exchange::new().send(0, MAPPED, PRIMARY, packet).trace();
    let ladder = Ladder::new(&trace);
    let svg = ladder.svg();
    let number = |text: &str| -> usize {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let width = number(svg.split_once("width=\"").unwrap().1);
    let (_, label) = svg.split_once("class=\"label\" x=\"").unwrap();
    let text = label.split_once('>').unwrap().1.split_once('<').unwrap().0;
    assert!(
        number(label) + text.chars().count() * 3 <= width,
        "{width} {label:.200}"
    );
    let longest = text_lines(&trace);
    assert!(longest < 220, "{longest}");
}

fn text_lines(trace: &Trace) -> usize {
    let text = text(trace);
    text.lines().map(|line| line.chars().count()).max().unwrap()
}

fn labels(ladder: &Ladder) -> Vec<&str> {
    let arrows = ladder.rows.iter().filter_map(|row| match row {
        Row::Arrow(arrow) => Some(arrow.label.as_str()),
        Row::Gap(_) => None,
    });
    arrows.collect()
}

fn titles(ladder: &Ladder) -> Vec<&str> {
    ladder
        .columns
        .iter()
        .map(|column| column.title.as_str())
        .collect()
}

/// A datagram of a client behind two NATs, whose observer sees all of its way.
fn observed<'a>(
    from: &str,
    public: &str,
    to: &str,
    payload: &'a [u8],
    fate: Fate,
) -> Observation<'a> {
    Observation {
        frame: 1,
        time: Duration::ZERO,
        source: end(from),
        destination: end(to),
        public_source: Some(end(public)),
        inner_destination: None,
        ttl: 64,
        payload,
        cut: false,
        fate: Some(fate),
    }
}

/// The client's further sockets, for a peer or after a change of its port, are in its column; the label has the port. Two
/// NATs in a row are two columns, and each can be the end.
#[test]
fn a_known_client_has_one_column_and_one_for_each_nat() {
    let mut tracer = crate::trace::Tracer::new(crate::trace::Limits::default());
    let (random, random_public) = ("192.168.1.2:50001", "203.0.113.5:61001");
    tracer.name(end(LOCAL), "alice");
    tracer.name(end(random), "alice");
    let nat = |name: &str, address: &str| crate::nodes::KnownNat {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
    };
    tracer.name_nats(vec![
        nat("home", "100.64.1.2"),
        nat("carrier", "203.0.113.5"),
    ]);
    let asked = solicitation(Some([7; 8]), false);
    let direct = bubble(teredo(MAPPED), teredo(PEER), &[]);
    for server in [SECONDARY, PRIMARY] {
        tracer.name(end(server), "server");
        tracer.observe(&observed(LOCAL, MAPPED, server, &asked, Fate::Delivered));
    }
    for by in [
        Obstacle::SenderNat,
        Obstacle::SenderCarrierNat,
        Obstacle::Network,
    ] {
        let fate = dropped(by).unwrap();
        tracer.observe(&observed(random, random_public, PEER, &direct, fate));
    }
    let trace = tracer.finish();
    let ladder = Ladder::new(&trace);
    assert_eq!(
        titles(&ladder),
        ["alice", "home", "carrier", "server", "client 2"]
    );
    assert_eq!(ladder.columns[0].lines, ["192.168.1.2", "port 50000"]);
    assert_eq!(ladder.columns[3].lines, ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(
        labels(&ladder)[..3],
        [
            "solicitation, to 192.0.2.2",
            "solicitation",
            "bubble, from port 50001"
        ]
    );
    let ends = ladder.rows.iter().filter_map(|row| match row {
        Row::Arrow(arrow) => Some(arrow.crossing.as_ref()?.halves),
        Row::Gap(_) => None,
    });
    // At the home's NAT, at the carrier's, and before the server's column.
    assert_eq!(ends.collect::<Vec<_>>(), [2, 4, 5]);
}

/// R4380-5.2.8-03: a router does not pass it on, so it stays beside its sender.
#[test]
fn a_discovery_bubble_stays_on_its_link() {
    let own = teredo(MAPPED);
    let group = "224.0.0.253:3544";
    let to_all = "ff02::1".parse().unwrap();
    let trace = Exchange::new()
        .qualified()
        .send(100, LOCAL, group, bubble(own, to_all, &[]))
        .trace();
    let ladder = Ladder::new(&trace);
    assert!(
        ladder
            .columns
            .iter()
            .all(|column| !column.title.starts_with("group"))
    );
    let Some(Row::Arrow(arrow)) = ladder.rows.last() else {
        panic!("a row");
    };
    assert_eq!((arrow.from, arrow.to), (0, 0));
    assert_eq!(arrow.label, "discovery bubble, to 224.0.0.253");
}

/// Data that ends for one reason is one row; a request and its reply are, too.
#[test]
fn data_of_one_fate_is_one_row() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let lost = || dropped(Obstacle::ReceiverNat);
    let echo = |request: bool, from, to| {
        let mut packet = Vec::new();
        let emit = if request {
            emit_echo_request
        } else {
            emit_echo_reply
        };
        emit(from, to, 64, 1, 1, b"", &mut packet);
        packet
    };
    let trace = Exchange::new()
        .qualified()
        .fated(100, LOCAL, PEER, data(own, peer), lost())
        .fated(110, LOCAL, PEER, data(own, peer), lost())
        .send(120, LOCAL, PEER, data(own, peer))
        .send(130, LOCAL, PEER, echo(true, own, peer))
        .send(140, PEER, LOCAL, echo(false, peer, own))
        .trace();
    let ladder = Ladder::new(&trace);
    assert_eq!(
        labels(&ladder)[4..],
        [
            "protocol 253, 2 packets, 88 B",
            "protocol 253, 44 B",
            "ICMPv6 echo requests and replies, 2 packets, 96 B"
        ]
    );
}

/// A birthday attack is a row for each direction and fate, also if the two directions alternate.
#[test]
fn a_burst_of_bubbles_is_one_row() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let mut exchange = Exchange::new().qualified();
    for number in 0..1200_u16 {
        let at = 100 + u64::from(number) / 10;
        let socket = format!("192.168.1.2:{}", 51_000 + number);
        let guess = format!("203.0.113.5:{}", 51_000 + number);
        let fate = Some(Fate::Dropped {
            by: Obstacle::ReceiverNat,
            reason: format!("no mapping has port {}", 51_000 + number),
        });
        if number < 20 {
            exchange = exchange.send(at, &socket, PEER, bubble(own, peer, &[]));
        }
        exchange = exchange.fated(at, PEER, &guess, bubble(peer, own, &[]), fate);
    }
    let trace = exchange
        .send(300, PEER, LOCAL, bubble(peer, own, &[]))
        .trace();
    let ladder = Ladder::new(&trace);
    assert_eq!(
        labels(&ladder)[4..],
        [
            "20 bubbles, from 20 ports",
            "1,200 bubbles, to 1,200 ports",
            "bubble"
        ]
    );
    let Some(Row::Arrow(arrow)) = ladder.rows.get(5) else {
        panic!("a row");
    };
    assert_eq!(arrow.count, 1200);
    assert_eq!(
        arrow.crossing.as_ref().unwrap().reason,
        "no mapping has port …"
    );
    assert_eq!(ladder.left_out, 0);
}

/// The request for a port stands between the client and its router, and has no number.
#[test]
fn a_message_to_the_router_is_a_row() {
    let mut tracer = crate::trace::Tracer::new(crate::trace::Limits::default());
    tracer.name(end(LOCAL), "alice");
    tracer.name_nats(vec![crate::nodes::KnownNat {
        name: String::from("home"),
        addresses: vec![*end(MAPPED).ip()],
    }]);
    for (at, from_router, text) in [(5, true, "here you are"), (0, false, "a port, please")] {
        tracer.router_message(crate::trace::RouterMessage {
            at: Duration::from_millis(at),
            node: String::from("alice"),
            from_router,
            text: text.to_owned(),
        });
    }
    let asked = solicitation(Some([7; 8]), false);
    let seen = observed(LOCAL, MAPPED, PRIMARY, &asked, Fate::Delivered);
    tracer.observe(&Observation {
        time: Duration::from_millis(1),
        ..seen
    });
    let ladder = Ladder::new(&tracer.finish());
    let rows: Vec<_> = (ladder.rows.iter())
        .filter_map(|row| match row {
            Row::Arrow(arrow) => Some((arrow.n, arrow.from, arrow.to, arrow.label.as_str())),
            Row::Gap(_) => None,
        })
        .collect();
    assert_eq!(
        rows,
        [
            (None, 0, 1, "a port, please"),
            (Some(1), 0, 2, "solicitation"),
            (None, 1, 0, "here you are")
        ]
    );
}

/// The columns are so far apart that no label is wider than its arrow.
#[test]
fn labels_fit_their_arrows() {
    let (own, peer) = (teredo(MAPPED), teredo(PEER));
    let trailers = [
        teredo::wire::Trailer::Nonce([7; 4]),
        teredo::wire::Trailer::RandomPort(49_716),
    ];
    let packet = passed_on(PEER, &bubble(peer, own, &trailers));
    let trace = Exchange::new()
        .qualified()
        .send(100, PRIMARY, LOCAL, packet)
        .trace();
    let svg = Ladder::new(&trace).svg();
    let number = |text: &str| -> usize {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let (_, row) = svg.rsplit_once("class=\"line\" d=\"M").unwrap();
    let (from, to) = (number(row), number(row.split_once('H').unwrap().1));
    let (_, label) = row.split_once("class=\"label\" x=\"").unwrap();
    let text = label.split_once('>').unwrap().1.split_once('<').unwrap().0;
    assert!(text.len() > 60, "{text}");
    assert!(text.len() * 6 < from.abs_diff(to), "{from} {to} {text}");
}
