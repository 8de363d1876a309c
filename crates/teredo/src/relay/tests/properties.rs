use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A packet of the IPv6 Internet for a client.
    Native {
        client: u8,
        server: u8,
    },
    /// A datagram from a client's mapping, or from elsewhere.
    Udp {
        client: u8,
        from: u8,
        to: Inner,
        is_bubble: bool,
    },
    /// Any bytes, in either direction.
    Garbage(Vec<u8>, bool),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Native,
    Unserved,
    Client(u8),
    Local,
    /// The last token that the relay used.
    Token,
}

fn step() -> impl Strategy<Value = Step> {
    let inner = prop_oneof![
        4 => Just(Inner::Native),
        1 => Just(Inner::Unserved),
        1 => (0..6u8).prop_map(Inner::Client),
        1 => Just(Inner::Local),
        2 => Just(Inner::Token),
    ];
    prop_oneof![
        5 => (0..6u8, 0..2u8).prop_map(|(client, server)| Step::Native { client, server }),
        5 => (0..6u8, prop_oneof![8 => Just(0u8), 1 => 1..3u8], inner, any::<bool>())
            .prop_map(|(client, off, to, is_bubble)| Step::Udp { client, from: client + off, to, is_bubble }),
        1 => (prop::collection::vec(any::<u8>(), 0..100), any::<bool>()).prop_map(|(bytes, up)| Step::Garbage(bytes, up)),
        3 => prop_oneof![0..100u64, 0..5000u64, Just(31_000)].prop_map(Step::Pass),
    ]
}

/// Client 4 is the relay itself, and client 5 at a private address.
fn mapping(client: u8) -> SocketAddrV4 {
    match client {
        4 => SERVICE,
        5 => SocketAddrV4::new(Ipv4Addr::new(192, 168, 0, 1), 4096),
        _ => SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, client), 4096),
    }
}

fn peer(client: u8, server: u8) -> Ipv6Addr {
    teredo(Ipv4Addr::new(203, 0, 113, 120 + server), mapping(client))
}

/// An observer's knowledge of one address.
#[derive(Default)]
struct Seen {
    heard: Option<u64>,
    waiting: VecDeque<u16>,
    bubbles: Vec<u64>,
    /// Where an answer came from, if not from the mapping, and the token of the bubble that went there.
    asked_at: Option<(SocketAddrV4, Ipv6Addr)>,
    /// Where such a bubble was answered.
    proven: Vec<SocketAddrV4>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// R4380-5.4.1-02, R4380-5.4.1-06, R4380-5.4.1-07, R4380-5.4.2-02, R4380-5.4.2-04, L-03, L-04, R4380-7.4.3-01: for
    /// any input, data leaves only to the mapping of a client that was heard there in the last 30 s, in order and once, or to
    /// where it has answered a bubble that went there. Bubbles leave 2 s apart, to the client's server, or once to where an
    /// answer came from. Nothing goes to the relay itself or to a refused
    /// destination. Only packets of clients at their mapping, for served destinations, pass.
    #[test]
    fn a_relay_keeps_its_rules(steps in prop::collection::vec(step(), 0..200)) {
        let served = Served::Networks(vec!["2001:db8::/64".parse().unwrap()]);
        let mut relay = relay_with(RelayConfig { served, ..config() });
        let mut seen: BTreeMap<Ipv6Addr, Seen> = BTreeMap::new();
        let mut token = Ipv6Addr::UNSPECIFIED;
        let (mut millis, mut number) = (0, 0u16);
        for step in steps {
            // The packets that leave at once, and the output to check.
            let mut direct = None;
            let mut answered = None;
            match step {
                Step::Native { client, server } => {
                    number += 1;
                    let target = peer(client, server);
                    let packet = ipv6(NATIVE, target, protocol::UDP, &number.to_be_bytes());
                    match relay.handle_tun(at(millis), &packet) {
                        Submission::Send(to) => direct = Some((to, packet)),
                        Submission::Queued => seen.entry(target).or_default().waiting.push_back(number),
                        Submission::SendFrom { .. } => panic!("a relay has one port"),
                        Submission::Drop(_) => {}
                    }
                }
                Step::Udp { client, from, to, is_bubble } => {
                    let source = peer(client, 0);
                    let destination = match to {
                        Inner::Native => NATIVE,
                        Inner::Unserved => "2001:db8:0:1::1".parse().unwrap(),
                        Inner::Client(client) => peer(client, 0),
                        Inner::Local => "fe80::1".parse().unwrap(),
                        Inner::Token => token,
                    };
                    let packet = if is_bubble { bubble(source, destination, 0) } else { data(source, destination) };
                    let reception = relay.handle_udp(at(millis), mapping(from), *SERVICE.ip(), &packet);
                    let entry = seen.entry(source).or_default();
                    if is_bubble && entry.asked_at == Some((mapping(from), destination)) {
                        entry.proven.push(mapping(from));
                    }
                    let is_there = from == client || entry.proven.contains(&mapping(from));
                    answered = (is_bubble && !is_there).then_some((source, mapping(from)));
                    if let Reception::Deliver(delivered) = reception {
                        prop_assert_eq!(delivered, &packet[..]);
                        prop_assert!(!is_bubble && is_there && from < 4);
                        prop_assert_eq!(destination, NATIVE);
                    }
                    // The packet of a stranger waits for its answer.
                    let is_held = !is_bubble && reception == Reception::Consumed;
                    let is_refused = matches!(reception, Reception::Drop(DropReason::UnverifiedSource));
                    if is_there && from < 4 && !is_held && !is_refused {
                        seen.entry(source).or_default().heard = Some(millis);
                    }
                }
                Step::Garbage(bytes, true) => {
                    let _ = relay.handle_udp(at(millis), mapping(0), *SERVICE.ip(), &bytes);
                }
                Step::Garbage(bytes, false) => {
                    let _ = relay.handle_tun(at(millis), &bytes);
                }
                Step::Pass(time) => {
                    millis += time;
                    while let Some((due, _)) = relay.poll_timeout().filter(|(due, _)| *due <= at(millis)) {
                        let before = sent(&mut relay).len();
                        prop_assert_eq!(before, 0);
                        relay.handle_timeout(due);
                        for (to, bytes) in sent(&mut relay) {
                            let packet = Ipv6Packet::parse(&bytes).unwrap();
                            match to {
                                Destination::Udp(to) => {
                                    prop_assert!(packet.is_bubble());
                                    let target = packet.destination();
                                    prop_assert_eq!(to.ip(), &TeredoAddress::from_ipv6(target).unwrap().server);
                                    seen.entry(target).or_default().bubbles.push(due.as_nanos() / 1_000_000);
                                }
                                Destination::Host => {
                                    prop_assert_eq!(packet.source(), OWN);
                                    let quoted = Ipv6Packet::parse(&packet.payload()[8..]).unwrap();
                                    let number = u16::from_be_bytes(quoted.payload().try_into().unwrap());
                                    let waiting = &mut seen.get_mut(&quoted.destination()).unwrap().waiting;
                                    prop_assert_eq!(waiting.pop_front(), Some(number));
                                }
                                Destination::Secondary(_) | Destination::Random { .. } => panic!("a relay has one port"),
                            }
                        }
                    }
                }
            }
            let (to_host, others): (Vec<_>, Vec<_>) =
                sent(&mut relay).into_iter().partition(|(to, _)| *to == Destination::Host);
            for (_, bytes) in to_host {
                // What a stranger sent before it proved its mapping; errors come from timers.
                let packet = Ipv6Packet::parse(&bytes).unwrap();
                prop_assert_eq!(packet.destination(), NATIVE);
                prop_assert_eq!(seen[&packet.source()].heard, Some(millis));
            }
            for (to, bytes) in others.into_iter().map(|(to, bytes)| match to {
                Destination::Udp(to) => (to, bytes),
                Destination::Host => panic!("they were taken out"),
                Destination::Secondary(_) | Destination::Random { .. } => panic!("a relay has one port"),
            }).chain(direct) {
                prop_assert!(relay.config().destinations.permits(to) && to != SERVICE);
                let packet = Ipv6Packet::parse(&bytes).unwrap();
                let target = TeredoAddress::from_ipv6(packet.destination()).unwrap();
                let seen = seen.entry(packet.destination()).or_default();
                if packet.is_bubble() {
                    token = packet.source();
                    if answered == Some((packet.destination(), to)) {
                        seen.asked_at = Some((to, token));
                    } else {
                        prop_assert_eq!(to, server_port(target.server));
                        seen.bubbles.push(millis);
                    }
                } else {
                    prop_assert!(to == target.mapped || seen.proven.contains(&to));
                    prop_assert!(seen.heard.is_some_and(|heard| millis - heard < 30_000));
                    let number = u16::from_be_bytes(packet.payload().try_into().unwrap());
                    if let Some(first) = seen.waiting.pop_front() {
                        prop_assert_eq!(number, first, "out of order");
                    }
                }
            }
        }
        for (address, seen) in &seen {
            prop_assert!(
                seen.bubbles.windows(5).all(|times| times[4] - times[0] >= 8000) || seen.heard.is_some(),
                "more than four bubbles in 8 s to {}, which is silent: {:?}", address, seen.bubbles
            );
        }
    }
}
