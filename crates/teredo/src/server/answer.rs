//! What is done with an accepted packet: router solicitations (RFC 4380 §5.3.2) and echo requests are answered, the others
//! passed on, from Teredo to Teredo and to the IPv6 Internet (§5.3.1).

use std::net::{Ipv4Addr, SocketAddrV4};

use super::accept::Message;
use super::write::{Plan, Proof, Task};
use super::{Security, Server};
use crate::wire::{
    self, Datagram, Ipv6Packet, PrefixInformation, RouterAdvertisement, TeredoAddress,
    link_local_flags,
};
use crate::{DropReason, Instant};

/// The advertisement, the same for all clients: one prefix, from which they make their addresses, and no default
/// route, since a Teredo server is no router for anything else.
pub(super) fn advertisement(primary: Ipv4Addr, mtu: u32) -> RouterAdvertisement {
    RouterAdvertisement {
        retrans_timer: 2000,
        // R4380-5.3.2-02; the primary address even where the secondary one was asked, else the client would
        // think of two servers.
        prefixes: vec![PrefixInformation {
            prefix: wire::server_prefix(primary),
            length: 64,
            on_link: false,
            autonomous: true,
            valid_lifetime: PrefixInformation::INFINITE,
            preferred_lifetime: PrefixInformation::INFINITE,
        }],
        // R4380-5.1.2-01
        mtu: Some(mtu),
        ..RouterAdvertisement::default()
    }
}

impl Server {
    /// The answer to a packet addressed to the server's own link-local address or to all routers, to where it came from
    /// (R4380-5.3.1-09, R4380-5.3.2-05). The cone bit of a solicitation chooses the address that the answer comes from
    /// (R4380-5.3.2-06, R5991-3.2-03).
    pub(super) fn answer(
        &self,
        datagram: &Datagram<'_>,
        message: Message,
        from: SocketAddrV4,
        local: Ipv4Addr,
    ) -> Result<Plan<'_>, DropReason> {
        match message {
            Message::Solicitation => {
                let proof = self.authenticate(datagram)?;
                let source = if link_local_flags(&datagram.packet.source()).is_cone() {
                    self.other(local)?
                } else {
                    local
                };
                Ok(Plan::new(datagram, from, source, Task::Advertise(proof)))
            }
            Message::EchoRequest => Ok(Plan::new(datagram, from, local, Task::Reply)),
            Message::Bubble | Message::EchoReply => Err(DropReason::NotRelayed),
        }
    }

    /// Whether the client is who it says (R4380-5.2.2-07, R4380-5.3.1-05), and how to answer it.
    ///
    /// The element comes back exactly if the client sent one: its nonce is nobody else's (RFC 4380 §7.2.1). A server
    /// that does not do secure qualification knows no identifier, and says so by leaving it out
    /// (R4380-5.3.2-10).
    fn authenticate(&self, solicitation: &Datagram<'_>) -> Result<Proof<'_>, DropReason> {
        let (clients, required) = match &self.config.security {
            Security::Open => {
                let nonce = solicitation.authentication.map(|element| element.nonce);
                return Ok(nonce.map_or(Proof::None, Proof::Nonce));
            }
            Security::Optional(clients) => (clients, false),
            Security::Required(clients) => (clients, true),
        };
        let Some(element) = solicitation.authentication else {
            return if required {
                Err(DropReason::Unauthenticated)
            } else {
                Ok(Proof::None)
            };
        };
        if element.identifier.is_empty() && element.value.is_empty() && !required {
            return Ok(Proof::Nonce(element.nonce));
        }
        let client = clients
            .get(element.identifier)
            .filter(|client| solicitation.verify(&client.secret))
            .ok_or(DropReason::Unauthenticated)?;
        // The element has one byte for the length.
        Ok(Proof::Secret(
            element.nonce,
            element.identifier.len() as u8,
            client,
        ))
    }

    /// The address that a client with the cone bit is answered from: if that passes its NAT, the NAT is a cone one
    /// (R4380-5.3.2-06). The port is the same.
    fn other(&self, local: Ipv4Addr) -> Result<Ipv4Addr, DropReason> {
        let address = self.config.address;
        let other = if local == address.primary {
            address.secondary
        } else {
            address.primary
        };
        // With one address, any answer would make every NAT a cone NAT.
        if other == local {
            Err(DropReason::NotRelayed)
        } else {
            Ok(other)
        }
    }
}

impl Server {
    /// Passes a packet on, with all trailers and with nothing else of what came with it: an origin indication
    /// is the server's own word (R4380-5.3.1-13, R4380-5.3.1-15, A-08).
    pub(super) fn forward(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
        destination: TeredoAddress,
        from: SocketAddrV4,
    ) -> Result<Plan<'_>, DropReason> {
        let to = self.target(destination)?;
        // DEVIATION(rfc4380 §5.3): a server leaves the hop limit of bubbles as it is, although an IPv6 router counts it
        // down. Deployed clients send them with hop limit 0, and without them nobody is reached. No loop comes of it:
        // a server takes nothing from itself, and from another server only what rule 6 lets in, for its own clients.
        //
        // Everything else is counted down.
        let hop_limit = if datagram.packet.is_bubble() {
            datagram.packet.hop_limit()
        } else {
            count_down(&datagram.packet)?
        };
        // Only the client's own server says where a packet is from, so that the client knows whom to believe
        // (R4380-5.3.1-14, R4380-7.4.1-01).
        let own = destination.server == self.config.address.primary;
        if !self.limiter.allows_ipv4(now, *to.ip()) {
            return Err(DropReason::RateLimited);
        }
        let task = Task::Forward {
            origin: own.then_some(from),
            hop_limit,
        };
        Ok(Plan::new(datagram, to, self.config.address.primary, task))
    }

    /// Passes a packet on to the IPv6 Internet, as the router that a server is to its clients (R4380-5.3.1-11). Rule 5
    /// has seen to the source (R4380-7.4.2-01).
    pub(super) fn forward_native(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
    ) -> Result<Plan<'_>, DropReason> {
        let hop_limit = count_down(&datagram.packet)?;
        if !self
            .limiter
            .allows_native(now, datagram.packet.destination())
        {
            return Err(DropReason::RateLimited);
        }
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let task = Task::ForwardNative { hop_limit };
        Ok(Plan::new(
            datagram,
            nobody,
            self.config.address.primary,
            task,
        ))
    }

    /// The address and port in a Teredo address, if something may be sent there (R4380-5.3.1-12,
    /// R4380-7.4.3-01). Never the server itself (R4380-5.3.1-16, L-01, L-02).
    pub(super) fn target(&self, destination: TeredoAddress) -> Result<SocketAddrV4, DropReason> {
        if self.is_own(*destination.mapped.ip()) {
            return Err(DropReason::SelfLoop);
        }
        if !self.config.destinations.permits(destination.mapped) {
            return Err(DropReason::RefusedDestination);
        }
        Ok(destination.mapped)
    }
}

/// The hop limit behind this router (RFC 8200 §3).
fn count_down(packet: &Ipv6Packet<'_>) -> Result<u8, DropReason> {
    match packet.hop_limit() {
        0 | 1 => Err(DropReason::HopLimit),
        hop_limit => Ok(hop_limit - 1),
    }
}
