//! The limits of what a server forwards, and the loops that it prevents.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::wire::PORT;

/// The addresses of another server of the same process.
const NEIGHBOUR: ServerAddress = ServerAddress {
    primary: Ipv4Addr::new(203, 0, 113, 130),
    secondary: Ipv4Addr::new(203, 0, 113, 131),
};

fn config(limits: RelayLimits) -> ServerConfig {
    ServerConfig {
        limits,
        ..ServerConfig::new(ServerAddress {
            primary: PRIMARY,
            secondary: SECONDARY,
        })
    }
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    let [per_second, burst] = [per_second, burst].map(|n| n.try_into().unwrap());
    Some(Rate { per_second, burst })
}

fn answer(
    server: &mut Server,
    now: Instant,
    from: SocketAddrV4,
    local: Ipv4Addr,
    datagram: &[u8],
) -> Result<Answer, DropReason> {
    let mut buffer = datagram.to_vec();
    buffer.resize(server.buffer_len(), 0);
    server.answer_in_place(now, from, local, &mut buffer, datagram.len())
}

fn passed(server: &mut Server, now: Instant, from: SocketAddrV4, datagram: &[u8]) -> usize {
    (0..100)
        .filter(|_| answer(server, now, from, PRIMARY, datagram).is_ok())
        .count()
}

/// How many of a hundred relays, each in another network, get a datagram through.
fn passed_of_crowd(server: &mut Server, now: Instant, datagram: &[u8]) -> usize {
    let relays = (1..=100).map(|network| SocketAddrV4::new(Ipv4Addr::new(193, network, 0, 1), 1));
    relays
        .filter(|&relay| answer(server, now, relay, PRIMARY, datagram).is_ok())
        .count()
}

/// R4380-7.4-01: a stranger's bubbles do not flood the client that they name, and the excess is counted.
#[test]
fn to_one_destination() {
    let limits = RelayLimits {
        per_destination: rate(10, 20),
        ..RelayLimits::default()
    };
    let mut server = Server::new(config(limits), [7; 32]);
    let victim = bubble(NATIVE, client());
    assert_eq!(
        passed(&mut server, NOW, RELAY, &victim),
        12,
        "half and a share"
    );
    assert_eq!(passed_of_crowd(&mut server, NOW, &victim), 8, "the others'");
    assert_eq!(server.drops().get(DropReason::RateLimited), 88 + 92);
    let elsewhere: SocketAddrV4 = "198.51.100.7:99".parse().unwrap();
    assert_eq!(
        passed(&mut server, NOW, elsewhere, &victim),
        0,
        "whoever sends"
    );
    let port = teredo(PRIMARY, SocketAddrV4::new(*CLIENT.ip(), 1));
    assert_eq!(
        passed(&mut server, NOW, RELAY, &bubble(NATIVE, port)),
        0,
        "whatever port"
    );
    assert_eq!(
        passed(&mut server, NOW, CLIENT, &bubble(client(), peer())),
        12,
        "others go on"
    );
    assert_eq!(
        passed(&mut server, NOW, CLIENT, &echo(client(), NATIVE)),
        12
    );
    assert_eq!(
        passed(&mut server, NOW, CLIENT, &solicitation(Flags::default())),
        100,
        "answers are not relayed"
    );
    let second = NOW + Duration::from_millis(1001);
    assert_eq!(passed_of_crowd(&mut server, second, &victim), 10);
}

/// R4380-7.4-01: 5,000 bubbles a second from one host to one client leave the client within reach of 100 others a second,
/// and no more arrives than the limit.
#[test]
fn a_flood_leaves_the_others_their_share() {
    let mut server = Server::new(config(RelayLimits::default()), [7; 32]);
    let (mut flooded, mut others) = (0, 0);
    for millis in 0..5000_u32 {
        let now = NOW + Duration::from_millis(millis.into());
        for inner in 0..5_u128 {
            // The inner source is free.
            let source = Ipv6Addr::from_bits(NATIVE.to_bits() + (inner << 64));
            let datagram = bubble(source, client());
            flooded += usize::from(answer(&mut server, now, RELAY, PRIMARY, &datagram).is_ok());
        }
        if millis % 10 == 0 {
            let from = SocketAddrV4::new(Ipv4Addr::from_bits(0xc600_0000 + millis * 77_777), 4096);
            let datagram = bubble(teredo(FOREIGN_SERVER, from), client());
            others += usize::from(answer(&mut server, now, from, PRIMARY, &datagram).is_ok());
        }
    }
    assert_eq!(others, 500);
    assert!((800..=5 * 256 + 512 - 500).contains(&flooded), "{flooded}");
}

/// R4380-7.4-01: echo requests with a victim's address draw no more replies to it than a sender's share of what is
/// forwarded, and do not keep others from it.
#[test]
fn echo_replies_count_as_forwarded_packets() {
    let limits = RelayLimits {
        per_destination: rate(10, 20),
        ..RelayLimits::default()
    };
    let mut server = Server::new(config(limits), [7; 32]);
    let ping = echo(client(), server.link_local);
    assert_eq!(passed(&mut server, NOW, CLIENT, &ping), 12);
    let other_port = SocketAddrV4::new(*CLIENT.ip(), 1);
    let ping = echo(teredo(PRIMARY, other_port), server.link_local);
    assert_eq!(passed(&mut server, NOW, other_port, &ping), 0);
    assert_eq!(
        passed_of_crowd(&mut server, NOW, &bubble(NATIVE, client())),
        8
    );
}

/// R4380-7.4-01: solicitations with a victim's address draw a limited number of advertisements to it, whatever port.
#[test]
fn advertisements_have_a_limit_of_their_own() {
    let limits = RelayLimits {
        advertisements: rate(10, 20),
        ..RelayLimits::default()
    };
    let mut server = Server::new(config(limits), [7; 32]);
    let solicitation = solicitation(Flags::default());
    assert_eq!(passed(&mut server, NOW, CLIENT, &solicitation), 20);
    assert_eq!(server.drops().get(DropReason::RateLimited), 80);
    let other_port = SocketAddrV4::new(*CLIENT.ip(), 1);
    assert_eq!(passed(&mut server, NOW, other_port, &solicitation), 0);
    assert_eq!(passed(&mut server, NOW, PEER, &solicitation), 20);
    assert_eq!(
        passed(&mut server, NOW, CLIENT, &echo(client(), NATIVE)),
        100,
        "what is forwarded does not count"
    );
}

/// R4380-7.4-01: all destinations together have a limit, for all servers and threads that share it.
#[test]
fn to_all_together() {
    let limits = RelayLimits {
        per_destination: None,
        total: rate(10, 50),
        ..RelayLimits::default()
    };
    let limiter = Arc::new(RelayLimiter::new(limits, [7; 32]));
    let mut server = Server::sharing(config(limits), Arc::clone(&limiter));
    let mut clone = server.clone();
    assert_eq!(
        passed(&mut server, NOW, RELAY, &bubble(NATIVE, client())),
        50
    );
    assert_eq!(
        passed(&mut clone, NOW, CLIENT, &bubble(client(), peer())),
        0
    );
    let mut other = Server::sharing(ServerConfig::new(NEIGHBOUR), limiter);
    assert_eq!(
        answer(
            &mut other,
            NOW,
            CLIENT,
            NEIGHBOUR.primary,
            &bubble(client(), peer())
        ),
        Err(DropReason::RateLimited)
    );
}

/// L-01, R4380-5.3.1-16: with several pairs of addresses, nothing goes from any of them to any other, by either
/// entrance of a loop, and nothing is accepted from any of them.
#[test]
fn no_loop_between_the_pairs_of_a_process() {
    let own = ServerAddress {
        primary: PRIMARY,
        secondary: SECONDARY,
    };
    for (address, neighbour) in [(own, NEIGHBOUR), (NEIGHBOUR, own)] {
        let neighbours = vec![neighbour.primary, neighbour.secondary];
        let mut server = Server::new(
            ServerConfig {
                neighbours,
                ..ServerConfig::new(address)
            },
            [0; 32],
        );
        let all = [
            own.primary,
            own.secondary,
            NEIGHBOUR.primary,
            NEIGHBOUR.secondary,
        ];
        for target in all.map(|address| SocketAddrV4::new(address, PORT)) {
            for server_field in [address.primary, neighbour.primary] {
                let looping = teredo(server_field, target);
                let sources = [(RELAY, NATIVE), (CLIENT, client()), (target, looping)];
                for (from, source) in sources {
                    for packet in [bubble(source, looping), echo(source, looping)] {
                        let outcome = answer(&mut server, NOW, from, address.primary, &packet);
                        assert!(outcome.is_err(), "{from} {looping}");
                    }
                }
            }
            let solicitation = solicitation(Flags::default());
            assert_eq!(
                answer(&mut server, NOW, target, address.primary, &solicitation),
                Err(DropReason::SelfLoop)
            );
            let inward = bubble(NATIVE, teredo(address.primary, target));
            assert_eq!(
                answer(&mut server, NOW, RELAY, address.primary, &inward),
                Err(DropReason::SelfLoop)
            );
        }
        assert!(server.drops().get(DropReason::SelfLoop) > 0);
    }
}

/// R4380-7.4-01: the amplification is an origin indication for forwarded packets, and an advertisement of the RFC's
/// length for solicitations. A server amplifies nothing else.
#[test]
fn amplification_is_bounded() {
    let mut server = server();
    let solicitation = solicitation(Flags::default());
    let sent = expect_sent(&mut server, CLIENT, &solicitation);
    assert_eq!((solicitation.len(), sent.bytes.len()), (48, 104));
    // Including the headers of IPv4 and UDP in both directions.
    let ratio = (104.0 + 28.0) / (48.0 + 28.0);
    assert!(ratio < 1.75, "{ratio}");
    for packet in [bubble(peer(), client()), echo(peer(), client())] {
        let sent = expect_sent(&mut server, PEER, &packet);
        assert_eq!(sent.bytes.len(), packet.len() + Origin::LEN);
    }
    let ping = echo(client(), server.link_local);
    assert_eq!(
        expect_sent(&mut server, CLIENT, &ping).bytes.len(),
        ping.len()
    );
}
