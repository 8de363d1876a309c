//! A relay's probe: a packet of this host to a Teredo client and back, through the relay both times. No I/O.
//!
//! ```text
//!  native socket ── IPv6 ──> TUN ──> relay ══ UDP ══> client socket
//!                                      │ bubble          │
//!                                      └══> server socket│   answered, the first time and after 30 s of silence
//!  native socket <── IPv6 ── TUN <── relay <══ UDP ══════┘
//! ```
//!
//! The probe plays the client, and the client's server on port 3544. The host begins, so a firewall that closes the host to
//! what comes unsolicited out of the tunnel lets the answer in.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use teredo::wire::{
    self, Datagram, Flags, Ipv6Header, Ipv6Packet, TeredoAddress, emit_bubble, protocol,
};

use super::probe::{Datagram as Sent, Prober, Progress, Wrong};

/// The socket of the client.
pub(super) const CLIENT: usize = 0;
/// The socket of the client's server.
pub(super) const SERVER: usize = 1;
/// The socket of the host, over IPv6.
pub(super) const NATIVE: usize = 2;

const HOP_LIMIT: u8 = 64;
const UDP_HEADER: usize = 8;
/// The port of the client's program, in the tunnel.
const CLIENT_PORT: u16 = 3544;

/// Sends a token to the client and back.
#[derive(Debug)]
pub(super) struct RelayProbe {
    client: TeredoAddress,
    native: SocketAddrV6,
    token: Option<[u8; 16]>,
    /// The last place that the token has got to.
    reached: Reached,
}

/// The places on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Nothing,
    /// The relay asks the client's server.
    Server,
    Client,
}

/// The program of a client at this address, whose server is on the same host.
pub(super) fn client(mapped: SocketAddrV4, random: u16) -> TeredoAddress {
    TeredoAddress {
        server: *mapped.ip(),
        flags: Flags::from_random(random),
        mapped,
    }
}

/// The end of the native socket's way.
pub(super) fn far_end(client: TeredoAddress) -> SocketAddrV6 {
    SocketAddrV6::new(client.to_ipv6(), CLIENT_PORT, 0, 0)
}

/// The end of the server's socket.
pub(super) fn server(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, wire::PORT)
}

impl RelayProbe {
    /// With the local end of the native socket.
    pub(super) const fn new(client: TeredoAddress, native: SocketAddrV6) -> Self {
        Self {
            client,
            native,
            token: None,
            reached: Reached::Nothing,
        }
    }

    /// The relay asks for a sign of life: its source is what the answer must contain (RFC 4380 §5.4.1).
    fn answer_bubble(&self, bubble: &Ipv6Packet<'_>) -> Result<Progress, Wrong> {
        let own = self.client.to_ipv6();
        if bubble.destination() != own {
            return Err(Wrong::Nonce);
        }
        let mut payload = Vec::new();
        emit_bubble(own, bubble.source(), HOP_LIMIT, &mut payload);
        Ok(Progress::Send(vec![Sent {
            from: CLIENT,
            payload,
        }]))
    }

    /// The token has come to the client, which sends it back.
    fn answer(&self, packet: &Ipv6Packet<'_>, token: [u8; 16]) -> Result<Progress, Wrong> {
        let own = self.client.to_ipv6();
        let is_ours = packet.source() == *self.native.ip()
            && packet.destination() == own
            && packet.next_header() == protocol::UDP;
        let data = packet.payload().get(UDP_HEADER..);
        if !is_ours || data != Some(&token[..]) {
            return Err(Wrong::Nonce);
        }
        let payload = datagram(own, self.native, &token);
        Ok(Progress::Send(vec![Sent {
            from: CLIENT,
            payload,
        }]))
    }
}

impl Prober for RelayProbe {
    fn ask(&mut self, token: [u8; 16]) -> Vec<Sent> {
        self.token = Some(token);
        self.reached = Reached::Nothing;
        vec![Sent {
            from: NATIVE,
            payload: token.to_vec(),
        }]
    }

    fn received(&mut self, at: usize, bytes: &[u8]) -> Result<Progress, Wrong> {
        let token = self.token.ok_or(Wrong::Nonce)?;
        if at == NATIVE {
            return match bytes == token {
                true => {
                    self.token = None;
                    Ok(Progress::Answered)
                }
                false => Err(Wrong::Nonce),
            };
        }
        let parsed = Datagram::parse(bytes).map_err(|_| Wrong::Malformed)?;
        let (progress, reached) = match parsed.packet.is_bubble() {
            true => (self.answer_bubble(&parsed.packet)?, Reached::Server),
            false if at == CLIENT => (self.answer(&parsed.packet, token)?, Reached::Client),
            false => return Err(Wrong::Malformed),
        };
        self.reached = self.reached.max(reached);
        Ok(progress)
    }

    fn silence(&self) -> String {
        match self.reached {
            Reached::Nothing => {
                "a packet to a client does not leave the relay: it takes none from the tunnel's interface, or refuses this address"
            }
            Reached::Server => "the relay asks the client, and does not hear the answer",
            Reached::Client => "a client's packet does not come out of the tunnel's interface",
        }
        .to_owned()
    }
}

/// A UDP datagram of the client's program, as an IPv6 packet.
fn datagram(from: Ipv6Addr, to: SocketAddrV6, data: &[u8]) -> Vec<u8> {
    // A token is short.
    let length = (UDP_HEADER + data.len()) as u16;
    let mut message = Vec::new();
    for word in [CLIENT_PORT, to.port(), length, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(data);
    let sum = match wire::checksum(from, *to.ip(), protocol::UDP, &message) {
        // RFC 768: zero means that there is none.
        0 => u16::MAX,
        sum => sum,
    };
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: length,
        next_header: protocol::UDP,
        hop_limit: HOP_LIMIT,
        source: from,
        destination: *to.ip(),
    }
    .emit(&mut packet);
    packet.extend_from_slice(&message);
    packet
}

#[cfg(test)]
mod tests;
