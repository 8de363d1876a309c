//! What a server answers itself: router solicitations (RFC 4380 §5.3.2) and echo requests.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::accept::Message;
use super::{Pending, Server};
use crate::wire::{
    self, Authentication, Datagram, Icmpv6, Origin, PrefixInformation, RouterAdvertisement,
    emit_echo_reply, link_local_flags,
};
use crate::{DropReason, Reception};

const ECHO_HOP_LIMIT: u8 = 64;

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
    /// Answers a packet addressed to the server's own link-local address or to all routers, to where it came from
    /// (R4380-5.3.1-09, R4380-5.3.2-05).
    pub(super) fn answer<'a>(
        &mut self,
        datagram: &Datagram<'_>,
        message: Message,
        from: SocketAddrV4,
        local: Ipv4Addr,
    ) -> Result<Reception<'a>, DropReason> {
        let source = match message {
            Message::Solicitation => self.advertise(datagram, from, local)?,
            Message::EchoRequest => self.reply(datagram, local)?,
            Message::Bubble | Message::EchoReply => return Err(DropReason::NotRelayed),
        };
        self.pending = Some(Pending { to: from, source });
        Ok(Reception::Consumed)
    }

    /// Writes the advertisement, with the mapping as its origin and to the very address that asked (R4380-5.3.2-01,
    /// R4380-5.3.2-03, R4380-5.3.2-04), and returns the address to send it from (R4380-5.3.2-06, R5991-3.2-03).
    fn advertise(
        &mut self,
        solicitation: &Datagram<'_>,
        from: SocketAddrV4,
        local: Ipv4Addr,
    ) -> Result<Ipv4Addr, DropReason> {
        let client = solicitation.packet.source();
        let source = if link_local_flags(&client).is_cone() {
            self.other(local)?
        } else {
            local
        };

        self.outgoing.clear();
        // The element comes back exactly if the client sent one: its nonce is nobody else's (RFC 4380 §7.2.1). A
        // server that does not do secure qualification knows no identifier, and says so by leaving it out
        // (R4380-5.3.2-10).
        if let Some(Authentication { nonce, .. }) = solicitation.authentication {
            Authentication::nonce_only(nonce).emit(&mut self.outgoing);
        }
        Origin(from).emit(&mut self.outgoing);
        self.advertisement
            .emit(self.link_local, client, &mut self.outgoing);
        self.counters.advertisements += 1;
        Ok(source)
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

    fn reply(&mut self, request: &Datagram<'_>, local: Ipv4Addr) -> Result<Ipv4Addr, DropReason> {
        let Ok(Icmpv6::EchoRequest {
            identifier,
            sequence,
            data,
        }) = Icmpv6::parse(&request.packet)
        else {
            return Err(DropReason::InvalidIcmpv6);
        };
        self.outgoing.clear();
        emit_echo_reply(
            self.link_local,
            request.packet.source(),
            ECHO_HOP_LIMIT,
            identifier,
            sequence,
            data,
            &mut self.outgoing,
        );
        self.counters.echo_replies += 1;
        Ok(local)
    }
}
