//! The treatment of accepted packets. Router solicitations (RFC 4380 §5.3.2) and echo requests are answered. The others
//! are forwarded to Teredo clients or to the IPv6 Internet (§5.3.1).

use std::net::{Ipv4Addr, SocketAddrV4};

use super::accept::Message;
use super::write::{Plan, Proof, Task};
use super::{Security, Server, ServerConfig};
use crate::policy;
use crate::wire::{
    self, Datagram, Ipv6Packet, PrefixInformation, RouterAdvertisement, TeredoAddress,
    link_local_flags,
};
use crate::{DropReason, Instant};

/// The advertisement, which is the same for all clients. It has the prefix of their addresses, and no default route,
/// because a Teredo server is no general router.
pub(super) fn advertisement(primary: Ipv4Addr, mtu: u32) -> RouterAdvertisement {
    RouterAdvertisement {
        retrans_timer: 2000,
        // R4380-5.3.2-02. This is the primary address even if the secondary one was asked; otherwise the client would
        // see two servers.
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
    /// The answer to a packet for the server's own link-local address or for all routers. It goes to the source of the
    /// datagram (R4380-5.3.1-09, R4380-5.3.2-05). The cone bit of a solicitation determines the address from which it
    /// is answered (R4380-5.3.2-06, R5991-3.2-03).
    ///
    /// The source may be forged, so the rate to it is limited. An echo reply counts as a packet that the source sends to
    /// itself.
    pub(super) fn answer(
        &self,
        now: Instant,
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
                if !self.limiter.allows_advertisement(now, *from.ip()) {
                    return Err(DropReason::RateLimited);
                }
                Ok(Plan::new(datagram, from, source, Task::Advertise(proof)))
            }
            Message::EchoRequest => {
                if !self.limiter.allows_ipv4(now, *from.ip(), *from.ip()) {
                    return Err(DropReason::RateLimited);
                }
                Ok(Plan::new(datagram, from, local, Task::Reply))
            }
            Message::Bubble | Message::EchoReply => Err(DropReason::NotRelayed),
        }
    }

    /// Checks the identity of the client (R4380-5.2.2-07, R4380-5.3.1-05), and decides how to answer it.
    ///
    /// The answer has an authentication element if and only if the solicitation has one: the nonce is for its sender
    /// alone (RFC 4380 §7.2.1). A server without secure qualification leaves the identifier out, because it knows none
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
        // The length field has one byte.
        Ok(Proof::Secret(
            element.nonce,
            element.identifier.len() as u8,
            client,
        ))
    }

    /// The address from which a client with the cone bit is answered. If the answer passes its NAT, that is a cone NAT
    /// (R4380-5.3.2-06). The port is the same.
    fn other(&self, local: Ipv4Addr) -> Result<Ipv4Addr, DropReason> {
        let address = self.config.address;
        let other = if local == address.primary {
            address.secondary
        } else {
            address.primary
        };
        // With one address, every NAT would look like a cone NAT.
        if other == local {
            Err(DropReason::NotRelayed)
        } else {
            Ok(other)
        }
    }
}

impl Server {
    /// Forwards a packet with all its trailers. Other elements of the datagram are left out: an origin indication comes
    /// from the server itself (R4380-5.3.1-13, R4380-5.3.1-15, A-08).
    pub(super) fn forward(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
        destination: TeredoAddress,
        from: SocketAddrV4,
    ) -> Result<Plan<'_>, DropReason> {
        let to = self.target(destination)?;
        // DEVIATION(rfc4380 §5.3): a server does not decrement the hop limit of bubbles as an IPv6 router does.
        // Deployed clients send bubbles with hop limit 0, and they must arrive. This causes no loop: a server accepts
        // nothing from itself, and from another server only what rule 6 permits, for its own clients.
        //
        // The hop limit of all other packets is decremented.
        let hop_limit = if datagram.packet.is_bubble() {
            datagram.packet.hop_limit()
        } else {
            decrement_hop_limit(&datagram.packet)?
        };
        // Only the client's own server adds an origin, so that the client knows which server to believe
        // (R4380-5.3.1-14, R4380-7.4.1-01).
        let own = destination.server == self.config.address.primary;
        if !self.limiter.allows_ipv4(now, *from.ip(), *to.ip()) {
            return Err(DropReason::RateLimited);
        }
        let task = Task::Forward {
            origin: own.then_some(from),
            hop_limit,
        };
        Ok(Plan::new(datagram, to, self.config.address.primary, task))
    }

    /// Forwards a packet to the IPv6 Internet, as the client's router (R4380-5.3.1-11). Rule 5 has checked the source
    /// (R4380-7.4.2-01).
    pub(super) fn forward_native(
        &self,
        now: Instant,
        datagram: &Datagram<'_>,
        from: SocketAddrV4,
    ) -> Result<Plan<'_>, DropReason> {
        let hop_limit = decrement_hop_limit(&datagram.packet)?;
        let destination = datagram.packet.destination();
        let ServerConfig {
            serve,
            destinations,
            ..
        } = &self.config;
        if !policy::carries(serve, destinations, destination) {
            return Err(DropReason::NotServed);
        }
        if !self.limiter.allows_native(now, *from.ip(), destination) {
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

    /// The mapping in a Teredo address, if it may be sent to (R4380-5.3.1-12, R4380-7.4.3-01). It is never the server
    /// itself (R4380-5.3.1-16, L-01, L-02).
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
fn decrement_hop_limit(packet: &Ipv6Packet<'_>) -> Result<u8, DropReason> {
    match packet.hop_limit() {
        0 | 1 => Err(DropReason::HopLimit),
        hop_limit => Ok(hop_limit - 1),
    }
}
