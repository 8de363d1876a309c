//! The two sockets besides the service port: for local discovery (RFC 4380 §5.2.8) and for the search for a longer
//! refresh interval (§5.2.7). Both are optional, and without them the client does its work.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;
use teredo::client::LocalSubnet;

use super::Operation;
use super::worker::Worker;
use crate::clock;
use crate::udp::ServiceSocket;

/// The optional sockets.
#[derive(Debug, Default)]
pub(super) struct Optional {
    /// Joined to the group of local discovery, on the link of this subnet.
    pub(super) discovery: Option<(LocalSubnet, ServiceSocket)>,
    /// Announced to nobody: what is to come to it comes back through the NAT, and a firewall that drops that makes the
    /// search end where it began.
    pub(super) secondary: Option<ServiceSocket>,
}

impl Worker {
    /// Looks for neighbours on the link that `local` is on, if it is a link with a subnet.
    pub(super) fn follow_link(&mut self, now: Instant, local: SocketAddrV4) {
        let subnet = self
            .subnets
            .iter()
            .copied()
            .find(|subnet| subnet.address == *local.ip())
            .filter(|subnet| self.local_discovery && subnet.prefix_len < 32);
        if self.optional.discovery.as_ref().map(|(joined, _)| *joined) != subnet {
            self.optional.discovery = None;
        }
        let joined = subnet.filter(|subnet| self.join(*subnet));
        self.path.machine.set_local_subnet(now, joined);
    }

    /// Joins anew at the next opportunity: the interface may be another one with the same address.
    pub(super) fn leave_link(&mut self) {
        self.optional.discovery = None;
    }

    fn join(&mut self, subnet: LocalSubnet) -> bool {
        let interface = subnet.address;
        let joined = match &self.optional.discovery {
            Some(_) => Ok(()),
            None => ServiceSocket::join_discovery(interface)
                .map(|socket| self.optional.discovery = Some((subnet, socket))),
        };
        let prepared = joined.and_then(|()| match &self.socket {
            Some(socket) => socket.send_multicast_by(interface),
            None => Ok(()),
        });
        let done = prepared.is_ok();
        match prepared {
            Ok(()) => self.troubles.clear(Operation::Discover),
            Err(error) => {
                self.optional.discovery = None;
                self.note(Operation::Discover, Some(error));
            }
        }
        done
    }

    pub(super) fn receive_local_bubbles(&mut self, now: Instant) {
        if let Some((_, socket)) = &self.optional.discovery {
            let received = self.path.receive(now, socket);
            self.note_batch(Operation::Discover, received);
        }
    }

    /// Opens or closes the secondary port, as the client wants it.
    pub(super) fn set_secondary(&mut self, wanted: bool) {
        self.optional.secondary = None;
        if !wanted {
            return;
        }
        let bound = ServiceSocket::bind(self.bind, 0);
        let local = match bound {
            Ok(socket) => {
                let port = socket.local().port();
                self.optional.secondary = Some(socket);
                Some(SocketAddrV4::new(*self.local(None).ip(), port))
            }
            Err(error) => {
                tracing::warn!(%error, "no secondary port, the refresh interval stays as it is");
                None
            }
        };
        self.path.machine.secondary_port(clock::now(), local);
    }

    pub(super) fn receive_secondary(&mut self, now: Instant) {
        if let Some(socket) = &self.optional.secondary {
            let received = self.path.receive_secondary(now, socket);
            self.note_batch(Operation::Determine, received);
        }
    }

    /// Sends what waits for the secondary port.
    pub(super) fn flush_secondary(&mut self) {
        let refused = self.path.flush_secondary(self.optional.secondary.as_ref());
        self.note(Operation::Determine, refused);
    }

    /// An unspecified address is on no link.
    pub(super) fn forget_link(&mut self, now: Instant) {
        self.follow_link(now, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    }
}
