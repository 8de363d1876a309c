//! A host that runs a Teredo client.

use std::net::{Ipv6Addr, SocketAddrV4};

use teredo::client::{Event, LocalSubnet};
use teredo::wire::DISCOVERY;
use teredo::{
    Client, ClientConfig, Destination, Instant, Node, Reception, ServerAddress, Submission,
};

use super::{Action, Alarm, Stamped};
use crate::capture::Datagram;

/// A Teredo client with its service port, and a record of all that it told its host.
#[derive(Debug)]
pub struct ClientHost {
    pub(crate) alarm: Alarm,
    client: Client,
    local: SocketAddrV4,
    /// Where the secondary port is, while there is one (RFC 4380 §5.2.7).
    secondary: Option<SocketAddrV4>,
    /// Whether the host has joined the group of local discovery (RFC 4380 §5.2.8).
    joined: bool,
    delivered: Vec<Stamped<Vec<u8>>>,
    errors: Vec<Stamped<Vec<u8>>>,
    events: Vec<Stamped<Event>>,
}

impl ClientHost {
    pub(crate) fn new(
        config: ClientConfig,
        seed: [u8; 32],
        now: Instant,
        local: SocketAddrV4,
    ) -> Self {
        Self {
            alarm: Alarm::default(),
            client: Client::new(config, seed, now),
            local,
            secondary: None,
            joined: false,
            delivered: Vec::new(),
            errors: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The state machine. To change it, go through the [`World`](crate::World), which drains it afterwards.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The service port's local address.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The secondary port's local address, while it is open.
    pub fn secondary(&self) -> Option<SocketAddrV4> {
        self.secondary
    }

    /// Whether datagrams to this address are received.
    pub(crate) fn listens_on(&self, to: SocketAddrV4) -> bool {
        to == self.local || self.secondary == Some(to) || self.joined && to == DISCOVERY
    }

    /// The IPv6 packets that were delivered to the host, oldest first.
    pub fn delivered(&self) -> &[Stamped<Vec<u8>>] {
        &self.delivered
    }

    /// The ICMPv6 errors that the client itself sent to the host, oldest first.
    pub fn errors(&self) -> &[Stamped<Vec<u8>>] {
        &self.errors
    }

    /// The events, oldest first.
    pub fn events(&self) -> &[Stamped<Event>] {
        &self.events
    }

    pub(crate) fn start(&mut self, now: Instant, servers: &[ServerAddress]) -> Vec<Action> {
        self.client.start(now, self.local, servers);
        self.drain(now)
    }

    pub(crate) fn stop(&mut self, now: Instant) -> Vec<Action> {
        self.client.stop(now);
        self.drain(now)
    }

    pub(crate) fn sleep(&mut self, now: Instant, native: Ipv6Addr) -> Vec<Action> {
        self.client.sleep(now, native);
        self.drain(now)
    }

    pub(crate) fn set_local_subnet(
        &mut self,
        now: Instant,
        subnet: Option<LocalSubnet>,
    ) -> Vec<Action> {
        self.joined = subnet.is_some();
        self.client.set_local_subnet(now, subnet);
        self.drain(now)
    }

    pub(crate) fn set_servers(&mut self, now: Instant, servers: &[ServerAddress]) -> Vec<Action> {
        self.client.set_servers(now, servers);
        self.drain(now)
    }

    pub(crate) fn rebind(&mut self, now: Instant, local: SocketAddrV4) -> Vec<Action> {
        self.local = local;
        self.client.handle_network_change(now, local);
        self.drain(now)
    }

    pub(crate) fn submit(&mut self, now: Instant, packet: &[u8]) -> (Submission, Vec<Action>) {
        let submission = self.client.handle_tun(now, packet);
        let mut actions = Vec::new();
        if let Submission::Send(to) = submission {
            actions.push(self.send(to, None, packet.to_vec()));
        }
        actions.extend(self.drain(now));
        (submission, actions)
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: &[u8],
    ) -> Vec<Action> {
        let reception = if self.secondary == Some(to) {
            self.client.handle_secondary(now, from, payload)
        } else {
            self.client.handle_udp(now, from, *to.ip(), payload)
        };
        if let Reception::Deliver(packet) = reception {
            self.delivered.push(Stamped {
                at: now,
                what: packet.to_vec(),
            });
        }
        self.drain(now)
    }

    pub(crate) fn wake(&mut self, now: Instant) -> Vec<Action> {
        self.client.handle_timeout(now);
        self.drain(now)
    }

    fn drain(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut bytes = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(&mut bytes) {
            let packet = std::mem::take(&mut bytes);
            assert_eq!(
                packet.len(),
                transmit.len,
                "poll_transmit appends as many bytes as it says"
            );
            match transmit.destination {
                Destination::Udp(to) => actions.push(self.send(to, transmit.ttl, packet)),
                Destination::Secondary(to) => {
                    let source = self.secondary.expect("the client asks for the port first");
                    actions.push(Action::Send(Datagram {
                        source,
                        destination: to,
                        ttl: Datagram::TTL,
                        payload: packet,
                    }));
                }
                Destination::Host => self.errors.push(Stamped {
                    at: now,
                    what: packet,
                }),
            }
        }
        let mut asked = false;
        while let Some(event) = self.client.poll_event() {
            if let Event::SecondaryPort { wanted } = event {
                self.secondary = wanted.then(|| self.free_port());
                asked = wanted;
            }
            self.events.push(Stamped {
                at: now,
                what: event,
            });
        }
        if asked {
            self.client.secondary_port(now, self.secondary);
            actions.extend(self.drain(now));
        }
        actions
    }

    /// A port for the secondary socket, another one each time.
    fn free_port(&self) -> SocketAddrV4 {
        let earlier = self
            .events
            .iter()
            .filter(|event| event.what == Event::SecondaryPort { wanted: true })
            .count();
        let port = self.local.port() ^ 0x4000;
        SocketAddrV4::new(*self.local.ip(), port.wrapping_add(earlier as u16))
    }

    fn send(&self, to: SocketAddrV4, ttl: Option<u8>, payload: Vec<u8>) -> Action {
        Action::Send(Datagram {
            source: self.local,
            destination: to,
            ttl: ttl.unwrap_or(Datagram::TTL),
            payload,
        })
    }
}
