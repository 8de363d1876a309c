//! Any number of clients that are mere addresses, without programs, and their servers, on one host.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use nix::sys::socket::SockaddrStorage;
use teredo::wire::{Datagram, Flags, PORT, TeredoAddress, emit_bubble, protocol};
use teredo_lab::{Host, Internet};

use super::batch::Batch;
use super::frames::{Frames, NETWORK, datagram, frame};

/// Clients are in the first half of the network, their servers in the second. A relay sends each server only some hundred
/// bubbles a second, so there have to be many.
const CLIENTS: Ipv4Addr = NETWORK;
const SERVERS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
/// Of each half, beginning with the 256th. There are as many clients again at the next port.
const ADDRESSES: usize = (1 << 16) - 256;
const FIRST_PORT: u16 = 4096;
/// The port on either end of an inner packet.
pub(crate) const INNER_PORT: u16 = 4000;
/// The length of the inner headers of IPv6 and UDP.
pub(crate) const HEADERS: usize = 48;
const PATTERN: u8 = 0x5a;
const UDP: usize = 8;

/// The address of a client; no two have the same.
pub(crate) fn client(number: usize) -> TeredoAddress {
    let nth = |net: Ipv4Addr| Ipv4Addr::from(net.to_bits() + 256 + (number % ADDRESSES) as u32);
    TeredoAddress {
        server: nth(SERVERS),
        flags: Flags::default(),
        mapped: SocketAddrV4::new(nth(CLIENTS), FIRST_PORT + (number / ADDRESSES) as u16),
    }
}

/// The inverse of [`client`].
fn number_of(mapped: SocketAddrV4) -> Option<usize> {
    let place = mapped.ip().to_bits().checked_sub(CLIENTS.to_bits() + 256)? as usize;
    let port = usize::from(mapped.port().checked_sub(FIRST_PORT)?);
    (place < ADDRESSES).then_some(port * ADDRESSES + place)
}

/// A datagram of the relay that arrived at a client or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A packet of the native host for the client with this number, whole and at the right address.
    Packet(usize),
    /// A bubble for a client, which was answered.
    Bubble,
    /// A word of the relay's own kernel, such as a redirect, or a packet of another size, which comes too late to
    /// count.
    Aside,
}

/// All of them.
pub(crate) struct Crowd {
    relay: SocketAddrV4,
    frames: Frames,
    /// Answers that have not left yet.
    answers: Vec<Vec<u8>>,
}

impl Crowd {
    /// Puts them on a host of their own.
    pub(crate) fn new(internet: &Internet, host: &Host, relay: SocketAddrV4) -> Result<Self> {
        Ok(Self {
            relay,
            frames: Frames::open(internet, host, relay)?,
            answers: Vec::new(),
        })
    }

    /// Receives, answers the bubbles, and calls `see` for each arrival. `size` is that of the inner packets.
    pub(crate) fn receive(
        &mut self,
        batch: &mut Batch,
        size: usize,
        mut see: impl FnMut(Arrival),
    ) -> Result<()> {
        self.frames.receive(batch)?;
        for bytes in batch.datagrams() {
            let arrival = self.arrival(bytes, size);
            see(arrival.with_context(|| format!("that was not sent: {bytes:02x?}"))?);
        }
        while !self.answers.is_empty() {
            let sent = self.send(batch, &self.answers)?;
            self.answers.drain(..sent);
        }
        Ok(())
    }

    /// Sends packets that [`write`](Self::write) has written, as many as go with one system call; how many left.
    pub(crate) fn send(&self, batch: &mut Batch, frames: &[Vec<u8>]) -> Result<usize> {
        self.frames.send(batch, frames)
    }

    /// The datagram of a client with an inner packet of this size for a native host.
    pub(crate) fn write(&self, number: usize, to: Ipv6Addr, size: usize) -> Vec<u8> {
        let client = client(number);
        frame(
            client.mapped,
            self.relay,
            &inner(client.to_ipv6(), to, size),
        )
    }

    fn arrival(&mut self, bytes: &[u8], size: usize) -> Result<Arrival> {
        let Some((from, to, payload)) = datagram(bytes) else {
            return Ok(Arrival::Aside);
        };
        ensure!(from == self.relay, "from {from}");
        let datagram = Datagram::parse(payload)?;
        let packet = datagram.packet;
        let own = packet.destination();
        let client = TeredoAddress::from_ipv6(own).context("for nobody")?;
        if packet.is_bubble() {
            ensure!(
                to == SocketAddrV4::new(client.server, PORT),
                "a bubble at the wrong server"
            );
            let mut answer = Vec::new();
            emit_bubble(own, packet.source(), 255, &mut answer);
            self.answers.push(frame(client.mapped, from, &answer));
            return Ok(Arrival::Bubble);
        }
        ensure!(to == client.mapped, "at the wrong client");
        if packet.next_header() == protocol::ICMPV6 {
            return Ok(Arrival::Aside);
        }
        ensure!(
            is_pattern(packet.payload().get(UDP..)),
            "changed on the way"
        );
        if packet.as_bytes().len() != size {
            return Ok(Arrival::Aside);
        }
        let number = number_of(to).context("to none of the clients")?;
        Ok(Arrival::Packet(number))
    }
}

/// The socket address of a client for a native host.
pub(crate) fn destination(number: usize) -> SockaddrStorage {
    SocketAddr::new(client(number).to_ipv6().into(), INNER_PORT).into()
}

/// The payload of an inner packet of this size.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    vec![PATTERN; size - HEADERS]
}

/// An inner packet of this size.
fn inner(from: Ipv6Addr, to: Ipv6Addr, size: usize) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(from.octets(), to.octets(), 64).udp(INNER_PORT, INNER_PORT);
    let mut packet = Vec::with_capacity(size);
    // Only a writer that fails or a payload of more than 64 KiB would be an error.
    let _ = builder.write(&mut packet, &payload(size));
    packet
}

pub(crate) fn is_pattern(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == PATTERN))
}

#[cfg(test)]
mod tests;
