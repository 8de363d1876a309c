//! The search on a virtual clock, behind the simulator's NATs.

use std::collections::BTreeMap;

use teredo::server::Answer;
use teredo::{Server, ServerAddress, ServerConfig};
use teredo_sim::{Nat, NatBehaviour};

use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const DELAY: Duration = Duration::from_millis(20);

struct Outcome {
    found: Result<Lifetime, &'static str>,
    took: Duration,
    carried: usize,
    news: Vec<String>,
}

/// Searches behind a NAT; the datagrams that `lose` names are lost.
fn search(behaviour: NatBehaviour, lose: impl Fn(usize, Instant) -> bool) -> Outcome {
    let address = ServerAddress::adjacent(SERVER);
    let mut server = Server::new(ServerConfig::new(address), [1; 32]);
    let mut nat = Nat::new(behaviour, [192, 0, 2, 1].into(), 1);
    let host = Ipv4Addr::new(192, 168, 1, 2);
    let locals: Vec<_> = (0..=RESTS.len())
        .map(|index| SocketAddrV4::new(host, 50_000 + index as u16))
        .collect();
    let start = Instant::from_nanos(0);
    let mut now = start;
    let mut search = Search::new(now, [2; 32], SERVER, &locals).expect("there are ports");
    let mut events: BTreeMap<(Instant, usize), (SocketAddrV4, Vec<u8>)> = BTreeMap::new();
    let mut carried = 0;
    let mut news = Vec::new();
    loop {
        while let Some(Transmit {
            from,
            to,
            mut payload,
        }) = search.poll_transmit()
        {
            let mapped = nat.outbound(now, locals[from], to).expect("a free port");
            carried += 1;
            if lose(carried, now) {
                continue;
            }
            let len = payload.len();
            payload.resize(server.buffer_len(), 0);
            let answer = server.answer_in_place(now + DELAY, mapped, *to.ip(), &mut payload, len);
            if let Ok(Answer::Udp { to, len, .. }) = answer {
                events.insert((now + DELAY * 2, carried), (to, payload[..len].to_vec()));
            }
        }
        news.extend(std::iter::from_fn(|| search.poll_news()));
        let Some(deadline) = search.deadline() else {
            let found = search.result();
            return Outcome {
                found,
                took: now - start,
                carried,
                news,
            };
        };
        match events.first_key_value() {
            Some((&(at, _), _)) if at <= deadline => {
                let ((at, _), (to, payload)) = events.pop_first().expect("there is one");
                now = now.max(at);
                let from = SocketAddrV4::new(SERVER, PORT);
                if let Ok(inside) = nat.inbound(now, from, to.port()) {
                    let at = locals.iter().position(|local| *local == inside);
                    search.handle(now, at.expect("one of the ports"), from, &payload);
                }
            }
            _ => now = now.max(deadline),
        }
        search.tick(now);
    }
}

fn lasting(seconds: u64, behaviour: NatBehaviour) -> NatBehaviour {
    NatBehaviour {
        lifetime: Duration::from_secs(seconds),
        ..behaviour
    }
}

fn kinds() -> [NatBehaviour; 4] {
    [
        NatBehaviour::cone(),
        NatBehaviour::port_restricted(),
        NatBehaviour {
            refresh_inbound: true,
            ..NatBehaviour::restricted()
        },
        NatBehaviour::symmetric(),
    ]
}

/// RFC 4380 §5.2.7: the bounds hold the lifetime, and the search ends soon after it.
#[test]
fn the_bounds_hold_the_lifetime() {
    for behaviour in kinds() {
        for (seconds, lower, upper) in [
            (3, 0, 5),
            (12, 10, 15),
            (33, 30, 40),
            (121, 120, 150),
            (200, 180, 240),
        ] {
            let Outcome {
                found, took, news, ..
            } = search(lasting(seconds, behaviour), |_, _| false);
            let expected = Lifetime {
                lower,
                upper: Some(upper),
            };
            assert_eq!(found, Ok(expected), "{seconds} s behind {behaviour:?}");
            assert!(took < Duration::from_secs(upper + 8), "{took:?}");
            assert!(
                news.last().is_some_and(|line| line.ends_with("closed")),
                "{news:?}"
            );
        }
    }
}

#[test]
fn a_mapping_that_lasts_is_given_up_in_five_minutes() {
    let Outcome { found, took, .. } = search(lasting(1000, NatBehaviour::cone()), |_, _| false);
    assert_eq!(
        found,
        Ok(Lifetime {
            lower: 280,
            upper: None
        })
    );
    assert!(took < Duration::from_secs(300), "{took:?}");
}

#[test]
fn one_lost_datagram_changes_nothing() {
    let behaviour = lasting(33, NatBehaviour::port_restricted());
    let whole = search(behaviour, |_, _| false);
    for lost in 1..=whole.carried {
        let found = search(behaviour, |index, _| index == lost).found;
        assert_eq!(found, whole.found, "without datagram {lost}");
    }
}

/// A server that ends meanwhile is not taken for a mapping that ends.
#[test]
fn a_lost_server_is_no_lost_mapping() {
    let gone = Instant::from_nanos(22_000_000_000);
    let outcome = search(lasting(1000, NatBehaviour::cone()), |_, now| now > gone);
    assert_eq!(
        outcome.found,
        Ok(Lifetime {
            lower: 15,
            upper: None
        })
    );
    let never = search(NatBehaviour::cone(), |_, _| true);
    assert!(never.found.is_err() && never.took < Duration::from_secs(10));
}
