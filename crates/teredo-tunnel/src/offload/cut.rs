//! A super-packet of the host's stack into the packets that it stands for.

use super::checksum::{Sum, pseudo_header};
use super::{Gso, Header, IPV6, LONGEST, TCP, UDP, be32, put16, tcp, udp};

/// Extension headers that segmentation copies. Behind a routing header the checksum is over another destination, and
/// nobody may send one through a tunnel anyhow (RFC 6169 §2.3).
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

/// Why a super-packet cannot be cut. The kernel makes none like these; what is not cut must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// The packet is longer than any can be.
    #[error("a super-packet is longer than 65535 bytes")]
    TooLong,
    /// It is shorter than its headers.
    #[error("a super-packet ends within its headers")]
    Truncated,
    /// A kind that was not asked for.
    #[error("the kernel handed over a super-packet of kind {0}, which was not asked for")]
    Kind(u8),
    /// Not IPv6, or not of the protocol that is to be segmented.
    #[error("a super-packet does not carry what it is said to carry")]
    Protocol,
    /// Its segments would have no length.
    #[error("the segments of a super-packet would be empty")]
    NoSegment,
    /// The checksum to complete lies outside of it.
    #[error("the checksum of a packet lies outside of it")]
    Checksum,
}

/// A packet of the host's stack on its way out, cut into one or more packets.
///
/// It refers to nothing, so that a caller whose room ends can go on later: each call to [`Self::emit`] gets the same
/// super-packet, and writes the next packet of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    work: Work,
    len: usize,
    /// Where the payload goes on.
    next: usize,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A packet as it is.
    Copy,
    /// One whose checksum is to be completed.
    Complete { start: usize, field: usize },
    /// One to be segmented.
    Segment(Plan),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    protocol: u8,
    /// Where the header of TCP or UDP begins, and where it ends.
    transport: usize,
    headers: usize,
    /// Payload in each packet but the last.
    segment: usize,
    /// The pseudo-header without the length.
    pseudo: Sum,
}

impl Cut {
    /// Looks at `packet`, for which the kernel gave `header`.
    ///
    /// Of the header is believed what can be checked; where the headers end is found out anew.
    pub fn new(header: &Header, packet: &[u8]) -> Result<Self, CutError> {
        if packet.len() > LONGEST {
            return Err(CutError::TooLong);
        }
        let work = match header.gso {
            Gso::None if !header.needs_checksum => Work::Copy,
            Gso::None => complete(header, packet)?,
            Gso::Tcp6 => Work::Segment(plan(header, packet, TCP)?),
            Gso::Udp => Work::Segment(plan(header, packet, UDP)?),
            Gso::Other(kind) => return Err(CutError::Kind(kind)),
        };
        Ok(Self {
            work,
            len: packet.len(),
            next: match work {
                Work::Segment(plan) => plan.headers,
                Work::Copy | Work::Complete { .. } => 0,
            },
            finished: false,
        })
    }

    /// Whether all packets have been written.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Writes the next packet to the beginning of `out` and returns its length; `None` where none is left, or where
    /// `out` has no room for it.
    ///
    /// `packet` is the one given to [`Self::new`]; of any other length it is left alone.
    #[must_use]
    pub fn emit(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.finished || packet.len() != self.len {
            return None;
        }
        match self.work {
            Work::Copy => {
                out.get_mut(..packet.len())?.copy_from_slice(packet);
                self.finished = true;
                Some(packet.len())
            }
            Work::Complete { start, field } => {
                let out = out.get_mut(..packet.len())?;
                out[..start].copy_from_slice(&packet[..start]);
                // The field holds the sum of the pseudo-header, and so adds it.
                let sum = Sum::copying(&mut out[start..], &packet[start..]);
                out[field..field + 2].copy_from_slice(&sum.nonzero_checksum());
                self.finished = true;
                Some(packet.len())
            }
            Work::Segment(plan) => self.emit_segment(&plan, packet, out),
        }
    }

    fn emit_segment(&mut self, plan: &Plan, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let payload = plan.segment.min(self.len - self.next);
        let (first, last) = (self.next == plan.headers, self.next + payload == self.len);
        let out = out.get_mut(..plan.headers + payload)?;
        let (headers, to) = out.split_at_mut(plan.headers);
        headers.copy_from_slice(&packet[..plan.headers]);
        // Nothing is longer than `LONGEST`.
        put16(headers, 4, (plan.headers - IPV6 + payload) as u16);
        let covered = plan.headers - plan.transport + payload;
        let transport = &mut headers[plan.transport..];
        let field = if plan.protocol == TCP {
            let offset = (self.next - plan.headers) as u32;
            let sequence = be32(transport, tcp::SEQUENCE).wrapping_add(offset);
            transport[tcp::SEQUENCE..tcp::SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
            if !first {
                transport[tcp::FLAGS] &= !tcp::CWR;
            }
            if !last {
                transport[tcp::FLAGS] &= !(tcp::FIN | tcp::PSH);
            }
            tcp::CHECKSUM
        } else {
            put16(transport, udp::LENGTH, covered as u16);
            udp::CHECKSUM
        };
        put16(transport, field, 0);
        let sum = plan
            .pseudo
            .plus(Sum::number(covered))
            .plus(Sum::of(transport))
            .plus(Sum::copying(to, &packet[self.next..self.next + payload]));
        let checksum = if plan.protocol == TCP {
            sum.checksum()
        } else {
            sum.nonzero_checksum()
        };
        transport[field..field + 2].copy_from_slice(&checksum);
        self.next += payload;
        self.finished = last;
        Some(plan.headers + payload)
    }
}

fn complete(header: &Header, packet: &[u8]) -> Result<Work, CutError> {
    let start = usize::from(header.checksum_start);
    let field = start + usize::from(header.checksum_offset);
    if field + 2 > packet.len() {
        return Err(CutError::Checksum);
    }
    Ok(Work::Complete { start, field })
}

fn plan(header: &Header, packet: &[u8], protocol: u8) -> Result<Plan, CutError> {
    if packet.len() < IPV6 {
        return Err(CutError::Truncated);
    }
    let transport = transport(packet, protocol)?;
    let least = if protocol == TCP { tcp::LEN } else { udp::LEN };
    if packet.len() < transport + least {
        return Err(CutError::Truncated);
    }
    let len = if protocol == TCP {
        4 * usize::from(packet[transport + tcp::DATA_OFFSET] >> 4)
    } else {
        udp::LEN
    };
    let headers = transport + len;
    if len < least || packet.len() < headers {
        return Err(CutError::Truncated);
    }
    let segment = usize::from(header.segment);
    if segment == 0 {
        return Err(CutError::NoSegment);
    }
    Ok(Plan {
        protocol,
        transport,
        headers,
        segment,
        pseudo: pseudo_header(packet, protocol),
    })
}

/// Where the header of `protocol` begins.
fn transport(packet: &[u8], protocol: u8) -> Result<usize, CutError> {
    if packet[0] >> 4 != 6 {
        return Err(CutError::Protocol);
    }
    let (mut next, mut at) = (packet[6], IPV6);
    // Each turn goes on by 8 bytes or more.
    while next != protocol {
        if next != HOP_BY_HOP && next != DESTINATION_OPTIONS {
            return Err(CutError::Protocol);
        }
        let &[following, len] = packet.get(at..at + 2).ok_or(CutError::Truncated)? else {
            return Err(CutError::Truncated);
        };
        next = following;
        at += 8 * (1 + usize::from(len));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
