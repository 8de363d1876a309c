//! A network between the probe and a server: a NAT, a distance, and bad luck.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::server::Answer;
use teredo::wire::{Datagram, PORT, link_local_flags};
use teredo::{Instant, Server, ServerAddress, ServerConfig};
use teredo_sim::{Nat, NatBehaviour};

use super::super::{Core, Refusal, Refused, Transmit};
use crate::probe::report::Report;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const PATIENCE: Duration = Duration::from_millis(1700);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

type Lose = Box<dyn Fn(usize, f64) -> bool>;
type Forge = fn(&[u8]) -> Vec<u8>;

pub(crate) struct Network {
    pub(crate) delay: Duration,
    /// Up to so much more, in turns.
    pub(crate) jitter: Duration,
    /// Whether to lose the datagram with this number; a random number from 0 to 1 helps.
    pub(crate) lose: Lose,
    pub(crate) duplicate: bool,
    /// Whether the server's host refuses other ports.
    pub(crate) icmp: bool,
    /// The server ignores the cone bit, or forwards no bubbles.
    pub(crate) no_cone: bool,
    pub(crate) no_bubbles: bool,
    pub(crate) seed: u64,
    /// Forgeries, sent beside each answer.
    pub(crate) forge: Option<Forge>,
    server: Server,
    nat: Option<Nat>,
    events: BTreeMap<(Instant, usize), Event>,
    carried: usize,
    sent: usize,
    now: Instant,
    random: u64,
}

enum Event {
    AtServer {
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: Vec<u8>,
    },
    AtNat {
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: Vec<u8>,
    },
    AtHost {
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: Vec<u8>,
    },
    Refused {
        from: usize,
        to: SocketAddrV4,
    },
}

impl Network {
    pub(crate) fn new(behaviour: Option<NatBehaviour>) -> Self {
        let server = ServerAddress::adjacent(SERVER);
        Self {
            delay: MS,
            jitter: Duration::ZERO,
            lose: Box::new(|_, _| false),
            duplicate: false,
            icmp: true,
            no_cone: false,
            no_bubbles: false,
            seed: 1,
            forge: None,
            server: Server::new(ServerConfig::new(server), [7; 32]),
            nat: behaviour.map(|behaviour| Nat::new(behaviour, PUBLIC, 3)),
            events: BTreeMap::new(),
            carried: 0,
            sent: 0,
            now: Instant::from_nanos(0),
            random: 0,
        }
    }

    pub(crate) fn probe(&mut self) -> Report {
        let host = if self.nat.is_some() { PRIVATE } else { PUBLIC };
        let locals = [40_001, 40_102, 40_203, 40_304].map(|port| SocketAddrV4::new(host, port));
        let seed = [self.seed as u8; 32];
        self.random = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let server = ServerAddress::adjacent(SERVER);
        let mut core = Core::new(self.now, self.now + PATIENCE, seed, server, locals);
        loop {
            while let Some(transmit) = core.poll_transmit() {
                self.sent += 1;
                self.leave(&locals, transmit);
            }
            let Some(deadline) = core.deadline() else {
                return Report::new("203.0.113.120", core);
            };
            match self.events.first_key_value() {
                Some((&(at, _), _)) if at <= deadline => {
                    let ((at, _), event) = self.events.pop_first().expect("there is one");
                    self.now = self.now.max(at);
                    self.happen(&mut core, &locals, event);
                }
                _ => {
                    self.now = self.now.max(deadline);
                    core.tick(self.now);
                }
            }
        }
    }

    pub(crate) fn took(&self) -> Duration {
        self.now - Instant::from_nanos(0)
    }

    /// How many datagrams were on the way, in either direction.
    pub(crate) fn carried(&self) -> usize {
        self.carried
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    fn dice(&mut self) -> f64 {
        // xorshift64: only the tests' luck depends on it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn later(&mut self, event: impl Fn() -> Event) {
        let dice = self.dice();
        let index = self.carried;
        self.carried += 1;
        if (self.lose)(index, dice) {
            return;
        }
        let turn = u32::try_from(index % 3).expect("below three");
        let at = self.now + self.delay + self.jitter * turn / 2;
        self.events.insert((at, 2 * index), event());
        if self.duplicate {
            self.events.insert((at + MS, 2 * index + 1), event());
        }
    }

    fn leave(&mut self, locals: &[SocketAddrV4; 4], Transmit { from, to, payload }: Transmit) {
        let inside = locals[from];
        let now = self.now;
        let Some(nat) = &mut self.nat else {
            return self.arrive(from, inside, to, payload);
        };
        if *to.ip() == PUBLIC {
            if let Ok((source, target)) = nat.hairpin(now, inside, to) {
                self.later(|| Event::AtHost {
                    from: source,
                    to: target,
                    payload: payload.clone(),
                });
            }
            return;
        }
        let mapped = nat.outbound(now, inside, to).expect("a free port");
        self.arrive(from, mapped, to, payload);
    }

    fn arrive(&mut self, own: usize, from: SocketAddrV4, to: SocketAddrV4, payload: Vec<u8>) {
        if to.port() == PORT {
            self.later(|| Event::AtServer {
                from,
                to,
                payload: payload.clone(),
            });
        } else if self.icmp {
            // There and back.
            self.later(|| Event::Refused { from: own, to });
        }
    }

    fn happen(&mut self, core: &mut Core, locals: &[SocketAddrV4; 4], event: Event) {
        match event {
            Event::AtServer { from, to, payload } => self.serve(from, to, payload),
            Event::AtNat { from, to, payload } => {
                let target = match &mut self.nat {
                    Some(nat) => nat.inbound(self.now, from, to.port()),
                    None => Ok(to),
                };
                if let Ok(target) = target {
                    let event = Event::AtHost {
                        from,
                        to: target,
                        payload,
                    };
                    self.happen(core, locals, event);
                }
            }
            Event::AtHost { from, to, payload } => {
                if let Some(at) = locals.iter().position(|local| *local == to) {
                    core.handle(self.now, at, from, &payload);
                }
            }
            Event::Refused { from, to } => {
                let refused = Refused {
                    refusal: Refusal::NoPort,
                    by: Some(SERVER),
                };
                core.refused(self.now, from, to, refused);
            }
        }
    }

    fn serve(&mut self, from: SocketAddrV4, to: SocketAddrV4, mut payload: Vec<u8>) {
        let local = *to.ip();
        let datagram = Datagram::parse(&payload).expect("the probe sends Teredo");
        let is_cone = link_local_flags(&datagram.packet.source()).is_cone();
        let is_bubble = datagram.packet.is_bubble();
        if is_bubble && self.no_bubbles || !is_bubble && is_cone && self.no_cone {
            return;
        }
        let len = payload.len();
        payload.resize(self.server.buffer_len().max(len), 0);
        let answer = self
            .server
            .answer_in_place(self.now, from, local, &mut payload, len);
        if let Ok(Answer::Udp { to, source, len }) = answer {
            payload.truncate(len);
            let from = SocketAddrV4::new(source, PORT);
            if let Some(forge) = self.forge {
                let forged = forge(&payload);
                self.events.insert(
                    (self.now, usize::MAX - self.carried),
                    Event::AtNat {
                        from,
                        to,
                        payload: forged,
                    },
                );
            }
            self.later(|| Event::AtNat {
                from,
                to,
                payload: payload.clone(),
            });
        }
    }
}
