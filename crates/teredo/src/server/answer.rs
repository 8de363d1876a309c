//! What a server answers itself: router solicitations (RFC 4380 §5.3.2) and echo requests.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::accept::Message;
use super::write::{Plan, Task};
use super::{Security, Server};
use crate::wire::{self, Datagram, PrefixInformation, RouterAdvertisement, link_local_flags};
use crate::{DropReason, KnownClient};

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

/// How an advertisement is authenticated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'a> {
    /// Not at all: the solicitation has no element.
    None,
    /// With the client's nonce.
    Nonce([u8; 8]),
    /// With the client's nonce, its identifier, which has this length, and its secret.
    Secret([u8; 8], u8, &'a KnownClient),
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
