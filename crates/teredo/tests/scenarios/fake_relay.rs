//! A relay (RFC 4380 §5.4) with one native host behind it, played by the test.

use std::cell::RefCell;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::rc::Rc;

use teredo::wire::{Datagram, PORT, TeredoAddress};
use teredo_sim::{Arrival, Network, Outbox, RawId, World};

use crate::packets;

pub(crate) const RELAY: &str = "198.51.100.99:4545";
pub(crate) const NATIVE: &str = "2001:db8::1";

/// The native host's reaction to an echo request: the reply, or `None` for silence.
pub(crate) type Reply = fn(&[u8]) -> Option<Vec<u8>>;

#[derive(Default)]
struct State {
    /// Replies that wait for the client's bubble.
    waiting: Vec<(Ipv6Addr, Vec<u8>)>,
    /// The clients whose bubbles have come.
    trusted: Vec<Ipv6Addr>,
}

/// Adds the relay and its native host. The relay asks each client for a bubble, through the client's server, before it
/// sends.
pub(crate) fn add(world: &mut World, reply: Reply) -> RawId {
    let relay: SocketAddrV4 = RELAY.parse().unwrap();
    let state = Rc::new(RefCell::new(State::default()));
    let host = world.add_responder(Network::Internet, &[*relay.ip()], move |arrival, out| {
        let state = &mut *state.borrow_mut();
        match arrival {
            Arrival::Native(packet) => {
                if let Some(reply) = reply(packet) {
                    state.answer(relay, reply, out);
                }
            }
            Arrival::Error(_) => {}
            Arrival::Udp(received) => {
                let Ok(datagram) = Datagram::parse(&received.payload) else {
                    return;
                };
                let source = datagram.packet.source();
                let vouched = TeredoAddress::from_ipv6(source)
                    .is_some_and(|teredo| teredo.mapped == received.source);
                if vouched && datagram.packet.is_bubble() {
                    state.trust(relay, source, received.source, out);
                }
            }
        }
    });
    world.attach_native(host, NATIVE.parse().unwrap());
    host
}

impl State {
    fn answer(&mut self, relay: SocketAddrV4, reply: Vec<u8>, out: &mut Outbox) {
        let (native, client) = packets::endpoints(&reply);
        let Some(teredo) = TeredoAddress::from_ipv6(client) else {
            return;
        };
        if self.trusted.contains(&client) {
            out.send(relay, teredo.mapped, reply);
        } else {
            self.waiting.push((client, reply));
            out.send(
                relay,
                SocketAddrV4::new(teredo.server, PORT),
                packets::bubble(native, client),
            );
        }
    }

    fn trust(
        &mut self,
        relay: SocketAddrV4,
        client: Ipv6Addr,
        mapped: SocketAddrV4,
        out: &mut Outbox,
    ) {
        if !self.trusted.contains(&client) {
            self.trusted.push(client);
        }
        for (_, reply) in self
            .waiting
            .extract_if(.., |(waits_for, _)| *waits_for == client)
        {
            out.send(relay, mapped, reply);
        }
    }
}
