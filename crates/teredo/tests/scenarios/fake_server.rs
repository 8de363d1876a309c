//! A server played by the test, which can answer solicitations incorrectly.

use std::cell::RefCell;
use std::net::{Ipv6Addr, SocketAddrV4};
use std::rc::Rc;

use teredo::ServerAddress;
use teredo::wire::{
    self, Authentication, Datagram, Icmpv6, Origin, PORT, PrefixInformation, RouterAdvertisement,
    TeredoAddress,
};
use teredo_sim::{Arrival, Datagram as UdpDatagram, Network, RawId, World};

/// The parts of a correct answer; a test changes one of them.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The address asked.
    pub(crate) asked: SocketAddrV4,
    /// The source of the answer.
    pub(crate) from: SocketAddrV4,
    /// The destination.
    pub(crate) to: SocketAddrV4,
    pub(crate) nonce: Option<[u8; 8]>,
    pub(crate) confirmation: u8,
    pub(crate) origin: Option<SocketAddrV4>,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) advertisement: RouterAdvertisement,
    /// The last change of the bytes of the IPv6 packet.
    pub(crate) rewrite: fn(&mut Vec<u8>),
    /// The last change of the bytes of the whole payload.
    pub(crate) rewrite_payload: fn(&mut Vec<u8>),
}

impl Answer {
    fn to(server: ServerAddress, solicitation: &UdpDatagram) -> Option<Self> {
        let datagram = Datagram::parse(&solicitation.payload).ok()?;
        Icmpv6::parse(&datagram.packet)
            .ok()
            .filter(|message| matches!(message, Icmpv6::RouterSolicitation(_)))?;
        Some(Self {
            asked: solicitation.destination,
            from: solicitation.destination,
            to: solicitation.source,
            nonce: datagram.authentication.map(|element| element.nonce),
            confirmation: 0,
            origin: Some(solicitation.source),
            source: wire::server_link_local(server.primary),
            destination: datagram.packet.source(),
            advertisement: RouterAdvertisement {
                prefixes: vec![prefix_of(server)],
                mtu: Some(1280),
                ..RouterAdvertisement::default()
            },
            rewrite: |_| {},
            rewrite_payload: |_| {},
        })
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        if let Some(nonce) = self.nonce {
            let confirmation = self.confirmation;
            Authentication {
                confirmation,
                ..Authentication::nonce_only(nonce)
            }
            .emit(&mut payload);
        }
        if let Some(origin) = self.origin {
            Origin(origin).emit(&mut payload);
        }
        let mut packet = Vec::new();
        self.advertisement
            .emit(self.source, self.destination, &mut packet);
        (self.rewrite)(&mut packet);
        payload.extend(packet);
        (self.rewrite_payload)(&mut payload);
        payload
    }
}

/// The prefix that a server announces.
pub(crate) fn prefix_of(server: ServerAddress) -> PrefixInformation {
    PrefixInformation {
        prefix: wire::server_prefix(server.primary),
        length: 64,
        on_link: false,
        autonomous: true,
        valid_lifetime: PrefixInformation::INFINITE,
        preferred_lifetime: PrefixInformation::INFINITE,
    }
}

/// Corrects the ICMPv6 checksum after a change of the packet.
pub(crate) fn correct_checksum(packet: &mut [u8]) {
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (source, destination) = (address(8), address(24));
    packet[42..44].fill(0);
    let checksum = wire::checksum(source, destination, 58, &packet[40..]);
    packet[42..44].copy_from_slice(&checksum.to_be_bytes());
}

/// Changes an answer; `None` for no answer.
pub(crate) type Change = Box<dyn FnMut(Answer) -> Option<Answer>>;

/// A fake server at the addresses of a real one. It also forwards bubbles between its clients.
#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) host: RawId,
    change: Rc<RefCell<Change>>,
}

impl FakeServer {
    pub(crate) fn add(
        world: &mut World,
        server: ServerAddress,
        change: impl FnMut(Answer) -> Option<Answer> + 'static,
    ) -> Self {
        let change: Rc<RefCell<Change>> = Rc::new(RefCell::new(Box::new(change)));
        let shared = Rc::clone(&change);
        let host = world.add_responder(
            Network::Internet,
            &[server.primary, server.secondary],
            move |arrival, out| {
                let Arrival::Udp(received) = arrival else {
                    return;
                };
                if let Some(answer) = Answer::to(server, received) {
                    if let Some(answer) = (shared.borrow_mut())(answer) {
                        out.send(answer.from, answer.to, answer.payload());
                    }
                } else if let Some((to, payload)) = forward(received) {
                    out.send(SocketAddrV4::new(server.primary, PORT), to, payload);
                }
            },
        );
        Self { host, change }
    }

    /// Changes the answers from now on.
    pub(crate) fn set(&self, change: impl FnMut(Answer) -> Option<Answer> + 'static) {
        *self.change.borrow_mut() = Box::new(change);
    }
}

fn forward(received: &UdpDatagram) -> Option<(SocketAddrV4, Vec<u8>)> {
    let packet = Datagram::parse(&received.payload).ok()?.packet;
    let to = TeredoAddress::from_ipv6(packet.destination())?.mapped;
    let mut payload = Vec::new();
    Origin(received.source).emit(&mut payload);
    payload.extend(packet.as_bytes());
    Some((to, payload))
}
