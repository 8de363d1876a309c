//! Writes the answer over the datagram that asked for it, without allocation.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

use super::{Answer, Counter, Server};
use crate::wire::{self, Authentication, Datagram, Ipv6Packet, MAC_LEN, Origin, protocol};
use crate::{DropReason, KnownClient};

const HOP_LIMIT: usize = 7;
const SOURCE: Range<usize> = 8..24;
const DESTINATION: Range<usize> = 24..40;
const ICMPV6_CHECKSUM: Range<usize> = 42..44;
const ECHO_HOP_LIMIT: u8 = 64;
/// Identifier and value start behind the magic number and the two lengths.
const IDENTIFIER: usize = 4;

/// How to answer an accepted datagram.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    to: SocketAddrV4,
    source: Ipv4Addr,
    task: Task<'a>,
    /// The range of the IPv6 packet in the datagram.
    packet: Range<usize>,
    /// The end of the trailers.
    end: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Task<'a> {
    Advertise(Proof<'a>),
    Reply,
    Forward {
        origin: Option<SocketAddrV4>,
        hop_limit: u8,
    },
    ForwardNative {
        hop_limit: u8,
    },
}

/// How an advertisement is authenticated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof<'a> {
    /// The solicitation has no authentication element.
    None,
    /// With the client's nonce.
    Nonce([u8; 8]),
    /// With the client's nonce, its secret, and its identifier of this length.
    Secret([u8; 8], u8, &'a KnownClient),
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        datagram: &Datagram<'_>,
        to: SocketAddrV4,
        source: Ipv4Addr,
        task: Task<'a>,
    ) -> Self {
        let authentication = datagram.authentication.map_or(0, |element| {
            Authentication::MIN_LEN + element.identifier.len() + element.value.len()
        });
        let origin = datagram.origin.map_or(0, |_| Origin::LEN);
        let start = authentication + origin;
        let packet = start..start + datagram.packet.as_bytes().len();
        Self {
            to,
            source,
            task,
            end: packet.end + datagram.trailers.as_bytes().len(),
            packet,
        }
    }

    /// The counter for this task.
    pub(super) fn counter(&self) -> Counter {
        match self.task {
            Task::Advertise(_) => |counters| &mut counters.advertisements,
            Task::Reply => |counters| &mut counters.echo_replies,
            Task::Forward { .. } => |counters| &mut counters.forwarded,
            Task::ForwardNative { .. } => |counters| &mut counters.to_native,
        }
    }
}

impl Server {
    /// Turns the datagram at the front of `buffer` into the answer.
    ///
    /// Fails if the buffer is too short; its contents are then undefined.
    pub(super) fn carry_out(
        &self,
        plan: &Plan<'_>,
        buffer: &mut [u8],
    ) -> Result<Answer, DropReason> {
        let Plan { to, source, .. } = *plan;
        let len = match plan.task {
            Task::Advertise(proof) => self.advertise(proof, plan, buffer),
            Task::Reply => self.reply(plan, buffer),
            Task::Forward { origin, hop_limit } => {
                let elements = origin.map(|origin| Origin(origin).to_bytes());
                shift(
                    plan,
                    hop_limit,
                    elements.as_ref().map_or(&[], |e| &e[..]),
                    plan.end,
                    buffer,
                )
            }
            // Trailers are for Teredo nodes only.
            Task::ForwardNative { hop_limit } => {
                let len = shift(plan, hop_limit, &[], plan.packet.end, buffer);
                return len
                    .map(|len| Answer::Native { len })
                    .ok_or(DropReason::Oversized);
            }
        };
        len.map(|len| Answer::Udp { to, source, len })
            .ok_or(DropReason::Oversized)
    }

    /// Writes the advertisement, with the mapping as its origin, for the address that asked (R4380-5.3.2-01,
    /// R4380-5.3.2-03, R4380-5.3.2-04). An authenticated client gets its identifier, nonce, a value made with its
    /// secret, and whether the key is still valid (R4380-5.3.2-08, R4380-5.3.2-09).
    fn advertise(&self, proof: Proof<'_>, plan: &Plan<'_>, buffer: &mut [u8]) -> Option<usize> {
        let mut client = [0; 16];
        client.copy_from_slice(buffer.get(plan.packet.clone())?.get(SOURCE)?);
        let (element, nonce) = match proof {
            Proof::None => (0, [0; 8]),
            Proof::Nonce(nonce) => (Authentication::MIN_LEN, nonce),
            Proof::Secret(nonce, identifier_len, _) => {
                let len = usize::from(identifier_len) + MAC_LEN;
                (Authentication::MIN_LEN + len, nonce)
            }
        };
        let end = element + Origin::LEN + self.advertisement.len();
        let buffer = buffer.get_mut(..end)?;
        let (element, signed) = buffer.split_at_mut(element);

        let (origin, packet) = signed.split_at_mut(Origin::LEN);
        origin.copy_from_slice(&Origin(plan.to).to_bytes());
        packet.copy_from_slice(&self.advertisement);
        packet[DESTINATION].copy_from_slice(&client);
        let sum = wire::checksum(
            self.link_local,
            client.into(),
            protocol::ICMPV6,
            &packet[Ipv6Packet::HEADER_LEN..],
        );
        packet[ICMPV6_CHECKSUM].copy_from_slice(&sum.to_be_bytes());

        match proof {
            Proof::None => {}
            Proof::Nonce(_) => write_element(element, [0, 0], nonce, 0),
            // The identifier stays where the client wrote it.
            Proof::Secret(_, identifier_len, known) => {
                let confirmation = u8::from(known.retired);
                let value = known.secret.sign(nonce, confirmation, signed);
                let start = IDENTIFIER + usize::from(identifier_len);
                element[start..start + MAC_LEN].copy_from_slice(&value);
                write_element(
                    element,
                    [identifier_len, MAC_LEN as u8],
                    nonce,
                    confirmation,
                );
            }
        }
        Some(end)
    }

    fn reply(&self, plan: &Plan<'_>, buffer: &mut [u8]) -> Option<usize> {
        let len = plan.packet.len();
        buffer.get(plan.packet.clone())?;
        buffer.copy_within(plan.packet.clone(), 0);
        let packet = &mut buffer[..len];
        packet[HOP_LIMIT] = ECHO_HOP_LIMIT;
        packet.copy_within(SOURCE, DESTINATION.start);
        packet[SOURCE].copy_from_slice(&self.link_local.octets());
        let message = packet.get_mut(Ipv6Packet::HEADER_LEN..)?;
        message
            .get_mut(..4)?
            .copy_from_slice(&[wire::ECHO_REPLY, 0, 0, 0]);
        let mut client = [0; 16];
        client.copy_from_slice(&packet[DESTINATION]);
        let sum = wire::checksum(
            self.link_local,
            client.into(),
            protocol::ICMPV6,
            &packet[Ipv6Packet::HEADER_LEN..],
        );
        packet[ICMPV6_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        Some(len)
    }
}

/// Writes an authentication element, except identifier and value.
fn write_element(element: &mut [u8], lengths: [u8; 2], nonce: [u8; 8], confirmation: u8) {
    element[..2].copy_from_slice(&Authentication::MAGIC);
    element[2..IDENTIFIER].copy_from_slice(&lengths);
    let end = element.len();
    element[end - 9..end - 1].copy_from_slice(&nonce);
    element[end - 1] = confirmation;
}

/// Moves the packet, and everything behind it up to `end`, right behind `elements`.
fn shift(
    plan: &Plan<'_>,
    hop_limit: u8,
    elements: &[u8],
    end: usize,
    buffer: &mut [u8],
) -> Option<usize> {
    let len = elements.len() + end - plan.packet.start;
    if buffer.len() < len.max(end) {
        return None;
    }
    buffer.copy_within(plan.packet.start..end, elements.len());
    buffer[..elements.len()].copy_from_slice(elements);
    buffer[elements.len() + HOP_LIMIT] = hop_limit;
    Some(len)
}
