//! The two sockets besides the service port: for local discovery (RFC 4380 §5.2.8) and for the search for a longer
//! refresh interval (§5.2.7). Both are optional: the client works without them.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::client::LocalSubnet;
use teredo::{Client, Instant};

use crate::clock;
use crate::lane::{Lane, Operation, Role};
use crate::udp::ServiceSocket;

const DISCOVERY: usize = 0;
const SECONDARY: usize = 1;

/// The optional sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    local_discovery: bool,
    /// The subnets that the host is attached to.
    subnets: Vec<LocalSubnet>,
    /// Joined to the group of local discovery, on the link of this subnet.
    discovery: Option<(LocalSubnet, ServiceSocket)>,
    /// Not announced: its datagrams come back through the NAT, and behind a firewall that drops them the search ends
    /// without a result.
    secondary: Option<ServiceSocket>,
}

impl Sockets {
    pub(super) fn new(local_discovery: bool, subnets: Vec<LocalSubnet>) -> Self {
        Self {
            local_discovery,
            subnets,
            discovery: None,
            secondary: None,
        }
    }

    /// Local discovery's first.
    pub(super) fn all(&self) -> [Option<&ServiceSocket>; 2] {
        let discovery = self.discovery.as_ref().map(|(_, socket)| socket);
        [discovery, self.secondary.as_ref()]
    }

    pub(super) fn receive<R: Role<Node = Client>>(
        &self,
        lane: &mut Lane<R>,
        now: Instant,
        index: usize,
    ) {
        match (index, self.all()) {
            (DISCOVERY, [Some(socket), _]) => {
                let received = lane.path.receive(now, socket);
                lane.note_batch(Operation::Discover, received);
            }
            (SECONDARY, [_, Some(socket)]) => {
                let received = lane.path.receive_secondary(now, socket);
                lane.note_batch(Operation::Determine, received);
            }
            _ => {}
        }
    }

    /// Sends what waits for the secondary port.
    pub(super) fn flush<R: Role<Node = Client>>(&self, lane: &mut Lane<R>) {
        let refused = lane.path.flush_secondary(self.secondary.as_ref());
        lane.note(Operation::Determine, refused);
    }

    /// Makes the client join anew at the next opportunity: the interface may be another one with the same address.
    pub(super) fn leave_link(&mut self) {
        self.discovery = None;
    }

    /// The host is attached to other networks.
    pub(super) fn set_subnets(&mut self, subnets: Vec<LocalSubnet>) {
        self.subnets = subnets;
        self.leave_link();
    }

    /// Looks for neighbours on the link of `local`, if that link has a subnet.
    pub(super) fn follow_link<R: Role<Node = Client>>(
        &mut self,
        lane: &mut Lane<R>,
        now: Instant,
        local: SocketAddrV4,
    ) {
        let mut subnets = self.subnets.iter().copied();
        let subnet = subnets
            .find(|subnet| subnet.address == *local.ip())
            .filter(|subnet| self.local_discovery && subnet.prefix_len < 32);
        let joined = self.discovery.as_ref().map(|(joined, _)| *joined);
        if joined != subnet {
            self.discovery = None;
        }
        let joined = subnet.filter(|subnet| self.join(lane, *subnet));
        lane.path.node.set_local_subnet(now, joined);
    }

    /// An unspecified address is on no link.
    pub(super) fn forget_link<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>, now: Instant) {
        self.follow_link(lane, now, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    }

    fn join<R: Role<Node = Client>>(&mut self, lane: &mut Lane<R>, subnet: LocalSubnet) -> bool {
        let interface = subnet.address;
        let joined = match &self.discovery {
            Some(_) => Ok(()),
            None => ServiceSocket::join_discovery(interface)
                .map(|socket| self.discovery = Some((subnet, socket))),
        };
        let prepared = joined.and_then(|()| match lane.port.receiving() {
            Some(socket) => socket.send_multicast_by(interface),
            None => Ok(()),
        });
        let done = prepared.is_ok();
        match prepared {
            Ok(()) => lane.troubles.clear(Operation::Discover),
            Err(error) => {
                self.discovery = None;
                lane.note(Operation::Discover, Some(error));
            }
        }
        done
    }

    /// Opens or closes the secondary port, as the state machine wants it. `address` is the host's towards the server.
    pub(super) fn set_secondary<R: Role<Node = Client>>(
        &mut self,
        lane: &mut Lane<R>,
        wanted: bool,
        bind: Ipv4Addr,
        address: Ipv4Addr,
    ) {
        self.secondary = None;
        if !wanted {
            return;
        }
        let local = match ServiceSocket::bind(bind, 0) {
            Ok(socket) => {
                let port = socket.local().port();
                self.secondary = Some(socket);
                Some(SocketAddrV4::new(address, port))
            }
            Err(error) => {
                tracing::warn!(%error, "no secondary port, the refresh interval stays as it is");
                None
            }
        };
        lane.path.node.secondary_port(clock::now(), local);
        // What that makes the client send is never for the host.
        lane.path.collect();
    }
}
