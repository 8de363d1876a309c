//! How long a mapping lives without traffic, by silence: the idea of RFC 4380 §5.2.7 with many ports at once.
//!
//! Each port asks the server twice, as a client does that refreshes, and then rests for a time of its own. At the end of
//! that time the server forwards a bubble to its mapping. The first port that hears nothing has found the bound. Nothing
//! refreshes a port meanwhile, and the longest rest is the longest that the search takes.
//!
//! The main port asks for the bubbles. With each it asks for one to itself, so that a lost server is not taken for a
//! lost mapping.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;
use teredo::Instant;
use teredo::policy::DestinationPolicy;
use teredo::wire::{
    Authentication, Datagram, Flags, PORT, TeredoAddress, emit_bubble, emit_router_solicitation,
    link_local,
};

use super::core::{Refused, Transmit};
use super::judge;
use super::sockets::Machine;
use crate::text::span;

/// The rests, in seconds. RFC 4787 §4.3 demands two minutes and recommends five.
pub(super) const RESTS: [u64; 17] = [
    5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 90, 105, 120, 150, 180, 240, 280,
];
/// Linux keeps a mapping longer once it has seen answers for two seconds.
const SECOND_EXCHANGE: Duration = Duration::from_millis(2500);
const REPEAT: Duration = Duration::from_millis(300);
/// Main must keep its mapping, however short-lived mappings are here.
const REFRESH: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);
const ASKS: u8 = 10;
const BUBBLES: u8 = 4;

/// The bounds that were found, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lifetime {
    /// The longest silence that the mapping survived.
    pub(crate) lower: u64,
    /// The shortest that it did not; null if it survived all.
    pub(crate) upper: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many exchanges are done, and the next is due.
    Asking {
        exchanges: u8,
        attempts: u8,
        due: Instant,
    },
    Resting {
        until: Instant,
    },
    Checking {
        attempts: u8,
        due: Instant,
    },
    Alive,
    Dead,
    /// The server did not answer.
    Unknown,
}

#[derive(Debug)]
struct Port {
    local: SocketAddrV4,
    rest: u64,
    mapping: Option<SocketAddrV4>,
    nonces: Vec<[u8; 8]>,
    state: State,
    /// The destination of the bubbles of its check.
    target: Option<Ipv6Addr>,
    /// Whether main heard its own bubble during the check.
    control: bool,
}

/// The search, without its sockets. The first port is main.
#[derive(Debug)]
pub(super) struct Search {
    server: Ipv4Addr,
    main: SocketAddrV4,
    main_mapping: Option<SocketAddrV4>,
    main_nonces: VecDeque<[u8; 8]>,
    main_target: Option<Ipv6Addr>,
    main_due: Instant,
    ports: Vec<Port>,
    outbox: VecDeque<Transmit>,
    news: VecDeque<String>,
    policy: DestinationPolicy,
    rng: ChaCha12Rng,
    now: Instant,
}

impl Search {
    /// A search from these ports: main, and one for each rest.
    pub(super) fn new(
        now: Instant,
        seed: [u8; 32],
        server: Ipv4Addr,
        locals: &[SocketAddrV4],
    ) -> Option<Self> {
        let (&main, others) = locals.split_first()?;
        let ports = others.iter().zip(RESTS).map(|(&local, rest)| Port {
            local,
            rest,
            mapping: None,
            nonces: Vec::new(),
            state: State::Asking {
                exchanges: 0,
                attempts: 0,
                due: now,
            },
            target: None,
            control: false,
        });
        let mut policy = DestinationPolicy::default();
        policy.allow_private(true);
        let mut search = Self {
            server,
            main,
            main_mapping: None,
            main_nonces: VecDeque::new(),
            main_target: None,
            main_due: now,
            ports: ports.collect(),
            outbox: VecDeque::new(),
            news: VecDeque::new(),
            policy,
            rng: ChaCha12Rng::from_seed(seed),
            now,
        };
        search.tick(now);
        Some(search)
    }

    /// The bounds.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn result(&self) -> Result<Lifetime, &'static str> {
        let rests = |wanted| {
            let ports = self.ports.iter().filter(move |port| port.state == wanted);
            ports.map(|port| port.rest)
        };
        let upper = rests(State::Dead).min();
        let lower = rests(State::Alive)
            .filter(|rest| upper.is_none_or(|upper| *rest < upper))
            .max();
        match (lower, upper) {
            (None, None) => Err("the server did not answer, or forwarded no bubble"),
            (lower, upper) => Ok(Lifetime {
                lower: lower.unwrap_or(0),
                upper,
            }),
        }
    }

    fn is_over(&self) -> bool {
        let done = |port: &Port| matches!(port.state, State::Alive | State::Dead | State::Unknown);
        self.ports.iter().any(|port| port.state == State::Dead) || self.ports.iter().all(done)
    }

    fn solicit(&mut self, from: usize, local: SocketAddrV4) -> [u8; 8] {
        let nonce = self.rng.next_u64().to_be_bytes();
        let mut payload = Vec::new();
        Authentication::nonce_only(nonce).emit(&mut payload);
        emit_router_solicitation(link_local(Flags::default(), local), &mut payload);
        self.transmit(from, payload);
        nonce
    }

    fn transmit(&mut self, from: usize, payload: Vec<u8>) {
        let to = SocketAddrV4::new(self.server, PORT);
        self.outbox.push_back(Transmit { from, to, payload });
    }

    fn teredo(&mut self, mapped: SocketAddrV4) -> Ipv6Addr {
        TeredoAddress {
            server: self.server,
            flags: Flags::from_random(self.rng.next_u32() as u16),
            mapped,
        }
        .to_ipv6()
    }

    /// A bubble from main to a mapping; returns its destination.
    fn bubble(&mut self, mapped: SocketAddrV4, before: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let own = self.main_mapping?;
        let source = self.teredo(own);
        let destination = before.unwrap_or_else(|| self.teredo(mapped));
        let mut payload = Vec::new();
        emit_bubble(source, destination, 255, &mut payload);
        self.transmit(0, payload);
        Some(destination)
    }

    fn tick_main(&mut self) {
        if self.main_due > self.now {
            return;
        }
        let nonce = self.solicit(0, self.main);
        self.main_nonces.push_front(nonce);
        self.main_nonces.truncate(4);
        let pause = if self.main_mapping.is_some() {
            REFRESH
        } else {
            REPEAT
        };
        self.main_due = self.now + pause;
    }

    fn tick_port(&mut self, index: usize) {
        let now = self.now;
        let port = &self.ports[index];
        let (local, rest, mapping, target) = (port.local, port.rest, port.mapping, port.target);
        let state = match port.state {
            State::Asking { attempts, due, .. } if due <= now && attempts >= ASKS => State::Unknown,
            State::Asking {
                exchanges,
                attempts,
                due,
            } if due <= now => {
                let nonce = self.solicit(index + 1, local);
                self.ports[index].nonces.push(nonce);
                State::Asking {
                    exchanges,
                    attempts: attempts + 1,
                    due: now + REPEAT,
                }
            }
            State::Resting { until } if until <= now => State::Checking {
                attempts: 0,
                due: now,
            },
            State::Checking { attempts, due } if due <= now && attempts >= BUBBLES => {
                if self.ports[index].control {
                    self.news
                        .push_back(format!("after {rest} s of silence: closed"));
                    State::Dead
                } else {
                    State::Unknown
                }
            }
            State::Checking { attempts, due } if due <= now => {
                if let Some(mapping) = mapping {
                    self.ports[index].target = self.bubble(mapping, target);
                }
                if let Some(main) = self.main_mapping {
                    self.main_target = self.bubble(main, self.main_target);
                }
                let last = attempts + 1 == BUBBLES;
                State::Checking {
                    attempts: attempts + 1,
                    due: now + if last { PATIENCE } else { REPEAT },
                }
            }
            state => state,
        };
        self.ports[index].state = state;
    }

    fn advertised(&mut self, at: usize, datagram: &Datagram<'_>) {
        let Some(nonce) = datagram.authentication.map(|element| element.nonce) else {
            return;
        };
        let local = match at.checked_sub(1) {
            None => self.main,
            Some(index) => match self.ports.get(index) {
                Some(port) => port.local,
                None => return,
            },
        };
        let verdict = judge::advertisement(datagram, link_local(Flags::default(), local));
        let mapped = verdict
            .accepted
            .filter(|accepted| accepted.server == self.server);
        let Some(mapped) = mapped
            .map(|accepted| accepted.mapped)
            .filter(|mapped| self.policy.permits(*mapped))
        else {
            return;
        };
        let Some(index) = at.checked_sub(1) else {
            if self.main_nonces.contains(&nonce) {
                self.main_mapping = Some(mapped);
                self.main_due = self.now + REFRESH;
            }
            return;
        };
        let now = self.now;
        let port = &mut self.ports[index];
        let State::Asking { exchanges, .. } = port.state else {
            return;
        };
        if !port.nonces.contains(&nonce) {
            return;
        }
        port.nonces.clear();
        port.mapping = Some(mapped);
        port.state = if exchanges == 0 {
            State::Asking {
                exchanges: 1,
                attempts: 0,
                due: now + SECOND_EXCHANGE,
            }
        } else {
            State::Resting {
                until: now + Duration::from_secs(port.rest),
            }
        };
    }

    fn bubbled(&mut self, at: usize, destination: Ipv6Addr) {
        let Some(index) = at.checked_sub(1) else {
            if self.main_target == Some(destination) {
                let checking = |port: &&mut Port| matches!(port.state, State::Checking { .. });
                self.ports
                    .iter_mut()
                    .filter(checking)
                    .for_each(|port| port.control = true);
            }
            return;
        };
        if let Some(port) = self.ports.get_mut(index)
            && port.target == Some(destination)
            && matches!(port.state, State::Checking { .. })
        {
            port.state = State::Alive;
            let rest = Duration::from_secs(port.rest);
            self.news
                .push_back(format!("after {} of silence: open", span(rest)));
        }
    }
}

impl Machine for Search {
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    fn handle(&mut self, now: Instant, at: usize, from: SocketAddrV4, bytes: &[u8]) {
        self.now = self.now.max(now);
        if from != SocketAddrV4::new(self.server, PORT) {
            return;
        }
        if let Ok(datagram) = Datagram::parse(bytes) {
            if datagram.packet.is_bubble() {
                self.bubbled(at, datagram.packet.destination());
            } else {
                self.advertised(at, &datagram);
            }
        }
    }

    /// The bubbles decide.
    fn refused(&mut self, _: Instant, _: usize, _: SocketAddrV4, _: Refused) {}

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.is_over() {
            return;
        }
        self.tick_main();
        for index in 0..self.ports.len() {
            self.tick_port(index);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let ports = self.ports.iter().filter_map(|port| match port.state {
            State::Asking { due, .. } | State::Checking { due, .. } => Some(due),
            State::Resting { until } => Some(until),
            State::Alive | State::Dead | State::Unknown => None,
        });
        ports.chain([self.main_due]).min()
    }

    fn poll_news(&mut self) -> Option<String> {
        self.news.pop_front()
    }
}

#[cfg(test)]
mod tests;
