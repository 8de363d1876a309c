use super::*;
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
                    client 1     restricted NAT      server 1         client 2
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
    let observation = crate::observation::Observation {
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
