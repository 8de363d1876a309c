//! RFC 6081 and ICMP: random ports, trailers, and routers that object.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::{RandomPortAnswer, State};
use teredo::wire::{AlternateAddresses, Trailer};
use teredo::{IcmpError, IcmpErrorKind, Node as _, Reception};

use super::input::{Operation, Outer, PortAnswer, Tail};
use super::{Call, World};

impl World {
    pub(super) fn run_extended(&mut self, operation: &Operation) {
        let now = self.model.now;
        match operation {
            Operation::RandomPort { port, answer } => {
                let Some(port) = self.model.random.nth(*port) else {
                    return;
                };
                let answer = match answer {
                    PortAnswer::Open => RandomPortAnswer::Open,
                    PortAnswer::Taken => RandomPortAnswer::Taken,
                    PortAnswer::Refused => RandomPortAnswer::Refused,
                };
                let is_open = answer == RandomPortAnswer::Open;
                self.model.random.answered(port, is_open, !is_open);
                self.client.random_port(now, port, answer);
                self.settle(Call::RandomPort);
            }
            Operation::Random {
                port,
                from,
                source,
                body,
                trailers,
            } => {
                let Some(port) = self.model.random.nth(*port) else {
                    return;
                };
                let source = self.address(*source);
                let mut bytes = Vec::new();
                self.emit(source, self.model.own_address(), body, &mut bytes);
                self.trail(source, trailers, &mut bytes);
                self.receive_random(port, from.address(), &bytes);
            }
            Operation::Echo {
                solicitation,
                mapped,
                flaw,
            } => {
                let count = self.model.random.solicitations.len().max(1);
                let index = usize::from(*solicitation) % count;
                let Some((port, solicitation)) = self.model.random.solicitations.get(index) else {
                    return;
                };
                let port = *port;
                if let Some((from, bytes)) = self.answer(solicitation, mapped.address(), flaw) {
                    self.receive_random(port, from, &bytes);
                }
            }
            Operation::IcmpError {
                expired,
                reporter,
                datagram,
                elsewhere,
                quoted,
                garbage,
            } => {
                let count = self.model.last.len().max(1);
                let about = self.model.last.get(usize::from(*datagram) % count).cloned();
                let (to, bytes) = about.unwrap_or_else(|| (Outer::Peer(0).address(), Vec::new()));
                let mut quoted = bytes[..bytes.len().min(usize::from(*quoted))].to_vec();
                quoted.extend_from_slice(garbage);
                let error = IcmpError {
                    kind: match expired {
                        true => IcmpErrorKind::TimeExceeded,
                        false => IcmpErrorKind::Other,
                    },
                    reporter: *reporter.address().ip(),
                    destination: elsewhere.map_or(to, Outer::address),
                    quoted: &quoted,
                };
                let status = self.client.status();
                self.client.handle_icmp_error(now, &error);
                self.settle(Call::Icmp);
                assert_eq!(self.client.status(), status, "a forger ends nothing");
            }
            _ => unreachable!("not one of these operations"),
        }
    }

    fn receive_random(&mut self, port: u16, from: SocketAddrV4, bytes: &[u8]) {
        let before = self.client.drops().clone();
        self.make_room();
        self.model.hears_random(port, from, bytes);
        match self.client.handle_random(self.model.now, port, from, bytes) {
            Reception::Deliver(packet) => {
                assert_eq!(self.model.state(), State::Qualified, "R4380-5.2-04");
                self.check_delivered(packet);
            }
            Reception::Consumed => {}
            Reception::Drop(reason) => {
                assert!(self.client.drops().get(reason) > before.get(reason));
            }
        }
        self.settle(Call::Random);
    }

    /// Appends trailers of a sender.
    pub(super) fn trail(&mut self, source: Ipv6Addr, trailers: &[Tail], out: &mut Vec<u8>) {
        self.model.is_extended |= !trailers.is_empty();
        for trailer in trailers {
            match trailer {
                Tail::Echo => {
                    let nonce = self.model.nonce_to(source).unwrap_or_default();
                    Trailer::Nonce(nonce).emit(out);
                }
                Tail::Nonce(nonce) => Trailer::Nonce(*nonce).emit(out),
                Tail::Alternate(at) => {
                    if let Some(list) = AlternateAddresses::new(&[at.address()]) {
                        Trailer::AlternateAddresses(list).emit(out);
                    }
                }
                &Tail::Discovery { advertisement } => {
                    Trailer::NeighborDiscovery { advertisement }.emit(out);
                }
                Tail::Port(port) => Trailer::RandomPort(*port).emit(out),
            }
        }
    }
}
