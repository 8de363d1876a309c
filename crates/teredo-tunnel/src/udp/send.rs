//! Datagrams out: trains that refer to where their bytes already lie.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use teredo::wire::MTU;

use super::ServiceSocket;
use crate::offload::Pause;

/// The first port of traceroute: a datagram there only asks for the path.
const TRACEROUTE: u16 = 33_434;

/// The most destinations with a [`Pause`] of their own.
const MAX_PAUSES: usize = 64;

/// The most datagrams that `UDP_SEGMENT` cuts one buffer into (`UDP_MAX_SEGMENTS`).
pub(super) const MAX_SEGMENTS: usize = 64;

/// The most bytes that one send carries: an IPv4 packet less its two headers.
const MAX_TRAIN: usize = 65_535 - 20 - 8;

/// The most datagrams to different places in one call.
const MAX_SINGLES: usize = 32;

/// Which memory a datagram of a [`SendBatch`] lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arena {
    /// The packets that were read from the interface.
    Packets,
    /// The packets that the state machine wrote by itself.
    Answers,
}

/// The memory behind the [`Arena`]s.
#[derive(Clone, Copy)]
pub(crate) struct Arenas<'a> {
    pub(crate) packets: &'a [u8],
    pub(crate) answers: &'a [u8],
}

impl<'a> Arenas<'a> {
    pub(crate) fn bytes(&self, arena: Arena, range: Range<usize>) -> &'a [u8] {
        match arena {
            Arena::Packets => &self.packets[range],
            Arena::Answers => &self.answers[range],
        }
    }
}

/// The service port, as the port that a datagram leaves from. Any other number is that of a random port.
pub(crate) const SERVICE: u16 = 0;

/// Datagrams from one port to one place that lie end to end: all as long as the first, only the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Train {
    /// [`SERVICE`], or a random port.
    from: u16,
    to: SocketAddrV4,
    arena: Arena,
    bytes: Range<usize>,
    /// The length of a datagram; never 0.
    segment: usize,
    /// Whether the kernel may cut it.
    offload: bool,
    /// If set, the train is one datagram.
    special: Option<Special>,
}

/// The difference of a datagram from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    /// A time to live that is not the system's own.
    Ttl(u8),
    /// It has no UDP checksum (RFC 768).
    NoChecksum,
}

// Takes a setting of the socket, because the kernel has none of a datagram.
sockopt_impl!(
    NoChecksum,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_NO_CHECK,
    bool
);

impl Train {
    fn datagrams(&self) -> usize {
        self.bytes.len().div_ceil(self.segment).max(1)
    }

    fn takes(&self, from: u16, to: SocketAddrV4, arena: Arena, range: &Range<usize>) -> bool {
        let ends_full = self.bytes.len().is_multiple_of(self.segment);
        self.special.is_none()
            && self.from == from
            && self.to == to
            && self.arena == arena
            && self.bytes.end == range.start
            && ends_full
            && !self.bytes.is_empty()
            && (1..=self.segment).contains(&range.len())
            && self.bytes.len() + range.len() <= MAX_TRAIN
            && self.datagrams() < MAX_SEGMENTS
    }
}

/// Datagrams that wait to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct SendBatch {
    trains: Vec<Train>,
    /// The trains before this one have left.
    next: usize,
    pauses: Pauses,
}

/// The destinations whose trains the kernel refused to cut: a device without checksum offload, or a route with an MTU
/// below the datagram, or none at all. A refusal says nothing of other destinations, and nothing of later.
#[derive(Debug, Default)]
struct Pauses(Vec<(SocketAddrV4, Pause)>);

impl Pauses {
    /// Whether the datagrams to this destination go one by one for now.
    fn holds(&self, to: SocketAddrV4) -> bool {
        let pause = self.0.iter().find(|(paused, _)| *paused == to);
        pause.is_some_and(|(_, pause)| pause.holds())
    }

    fn refused(&mut self, to: SocketAddrV4, error: &io::Error) {
        if let Some((_, pause)) = self.0.iter_mut().find(|(paused, _)| *paused == to) {
            pause.begin();
            return;
        }
        // Once an episode, however many destinations it has.
        if self.0.is_empty() {
            tracing::warn!(%error, %to, "the kernel does not segment datagrams on this path: they go one by one for a while");
        }
        if self.0.len() == MAX_PAUSES {
            self.0.remove(0);
        }
        let mut pause = Pause::default();
        pause.begin();
        self.0.push((to, pause));
    }

    fn worked(&mut self, to: SocketAddrV4) {
        if let Some(found) = self.0.iter().position(|(paused, _)| *paused == to) {
            self.0.remove(found);
            if self.0.is_empty() {
                tracing::info!(%to, "the kernel segments datagrams again");
            }
        }
    }
}

/// The result of sending a batch.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Datagrams that left.
    pub(crate) datagrams: u64,
    /// Their bytes, without the outer headers.
    pub(crate) bytes: u64,
    /// System calls.
    pub(crate) calls: u64,
    /// Datagrams that the kernel refused.
    pub(crate) refused: u64,
    /// Why it refused the last of them.
    pub(crate) error: Option<io::Error>,
    /// The socket's buffer is full; the rest of the batch is kept.
    pub(crate) blocked: bool,
}

impl SendBatch {
    /// Appends a datagram from the service port. One to port 0 is refused: the kernel cannot send it, and would fail the
    /// whole train.
    pub(crate) fn push(&mut self, to: SocketAddrV4, arena: Arena, range: Range<usize>) -> bool {
        self.push_from(SERVICE, to, arena, range, None)
    }

    /// Appends a datagram without a UDP checksum, by the same rules.
    pub(crate) fn push_bare(
        &mut self,
        from: u16,
        to: SocketAddrV4,
        arena: Arena,
        range: Range<usize>,
    ) -> bool {
        if to.port() == 0 {
            return false;
        }
        self.begin(from, to, arena, range, Some(Special::NoChecksum));
        true
    }

    /// Appends a datagram from [`SERVICE`] or a random port, with a time to live of its own if there is one, by
    /// [`push`](Self::push)'s rules.
    pub(crate) fn push_from(
        &mut self,
        from: u16,
        to: SocketAddrV4,
        arena: Arena,
        range: Range<usize>,
        ttl: Option<u8>,
    ) -> bool {
        if to.port() == 0 {
            return false;
        }
        match self.trains.last_mut() {
            Some(train) if ttl.is_none() && train.takes(from, to, arena, &range) => {
                train.bytes.end = range.end;
            }
            _ => self.begin(from, to, arena, range, ttl.map(Special::Ttl)),
        }
        true
    }

    fn begin(
        &mut self,
        from: u16,
        to: SocketAddrV4,
        arena: Arena,
        range: Range<usize>,
        special: Option<Special>,
    ) {
        let segment = range.len().max(1);
        self.trains.push(Train {
            from,
            to,
            arena,
            bytes: range,
            segment,
            offload: true,
            special,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.trains.len()
    }

    /// The port that the next datagram leaves from: [`SERVICE`], or a random port.
    pub(crate) fn next_from(&self) -> Option<u16> {
        self.trains.get(self.next).map(|train| train.from)
    }

    /// Forgets the next datagrams from one port, which is no longer there; returns how many.
    pub(crate) fn skip(&mut self) -> usize {
        let from = self.next_from();
        let waiting = self.trains[self.next..].iter();
        let same = waiting.take_while(|train| Some(train.from) == from);
        let (trains, datagrams) = same.fold((0, 0), |(trains, datagrams), train| {
            (trains + 1, datagrams + train.datagrams())
        });
        self.next += trains;
        if self.is_empty() {
            self.clear();
        }
        datagrams
    }

    pub(crate) fn clear(&mut self) {
        self.trains.clear();
        self.next = 0;
    }

    #[cfg(test)]
    pub(super) fn trains(&self) -> usize {
        self.trains.len() - self.next
    }

    /// How many datagrams wait.
    pub(crate) fn len(&self) -> usize {
        self.trains[self.next..].iter().map(Train::datagrams).sum()
    }

    /// The next datagrams, one by one, up to the next train that the kernel may cut, that is set apart or that leaves from
    /// another port.
    fn singles(&self, gso: bool) -> impl Iterator<Item = (SocketAddrV4, Arena, Range<usize>)> + '_ {
        let from = self.next_from();
        self.trains[self.next..]
            .iter()
            .take_while(move |train| {
                Some(train.from) == from
                    && train.special.is_none()
                    && !(gso && train.offload && train.datagrams() > 1)
            })
            .flat_map(|train| {
                let starts = (train.bytes.start..train.bytes.end.max(train.bytes.start + 1))
                    .step_by(train.segment);
                starts.map(|start| {
                    (
                        train.to,
                        train.arena,
                        start..train.bytes.end.min(start + train.segment),
                    )
                })
            })
    }

    /// Forgets the first `count` datagrams.
    fn advance(&mut self, mut count: usize) {
        while count > 0 && self.next < self.trains.len() {
            let train = &mut self.trains[self.next];
            let datagrams = train.datagrams();
            if count < datagrams {
                train.bytes.start += count * train.segment;
                return;
            }
            count -= datagrams;
            self.next += 1;
        }
    }
}

impl ServiceSocket {
    /// Sends `batch`, up to the first datagram that leaves from another port than the next one. Datagrams that the kernel
    /// refuses are counted and left behind.
    ///
    /// Stops earlier only if the socket's buffer is full.
    pub(crate) fn send(&self, batch: &mut SendBatch, arenas: Arenas<'_>) -> Sent {
        let mut sent = Sent::default();
        let from = batch.next_from();
        let is_from = |train: &&Train| Some(train.from) == from;
        while let Some(train) = batch.trains.get(batch.next).filter(is_from) {
            let gso = self.segmentation;
            if gso && train.offload && train.datagrams() > 1 && batch.pauses.holds(train.to) {
                batch.trains[batch.next].offload = false;
                continue;
            }
            let result = if let Some(special) = train.special {
                self.past_errors(|| match special {
                    Special::Ttl(ttl) => self.send_with_ttl(train, ttl, arenas),
                    Special::NoChecksum => self.send_without_checksum(train, arenas),
                })
                .map(|bytes| (1, bytes))
            } else if gso && train.offload && train.datagrams() > 1 {
                let (to, datagrams) = (train.to, train.datagrams());
                let result = self.past_errors(|| self.send_train(train, arenas));
                if result.is_ok() {
                    batch.pauses.worked(to);
                }
                result.map(|bytes| (datagrams, bytes))
            } else {
                self.past_errors(|| Ok(self.send_singles(batch, gso, arenas)?))
            };
            sent.calls += 1;
            match result {
                Ok((datagrams, bytes)) => {
                    sent.datagrams += datagrams as u64;
                    sent.bytes += bytes as u64;
                    batch.advance(datagrams);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sent.blocked = true;
                    return sent;
                }
                Err(error) => refuse(batch, gso, error, &mut sent),
            }
        }
        if batch.is_empty() {
            batch.clear();
        }
        sent
    }

    /// Sends a single datagram, if there is no batch to put it in.
    pub(crate) fn send_one(&self, to: SocketAddrV4, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, to).map(drop)
    }

    /// Sends a datagram with DF set, as long as the longest packet of the tunnel, so that a router with a smaller MTU
    /// objects and the kernel learns of it. No server answers so long a datagram, so it goes to the port of traceroute.
    pub(crate) fn probe_path(&self, to: Ipv4Addr) -> io::Result<()> {
        // An IPv6 packet without a next header, between link-local addresses.
        let mut probe = [0; MTU];
        probe[0] = 0x60;
        probe[4..6].copy_from_slice(&(MTU as u16 - 40).to_be_bytes());
        (probe[6], probe[7]) = (59, 255);
        for (at, last) in [(8, 1), (24, 2)] {
            (probe[at], probe[at + 1], probe[at + 15]) = (0xfe, 0x80, last);
        }
        sockopt::set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::DO)?;
        let sent = self.past_errors(|| self.socket.send_to(&probe, (to, TRACEROUTE)));
        sockopt::set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::DONT)?;
        sent.map(drop)
    }

    fn send_train(&self, train: &Train, arenas: Arenas<'_>) -> io::Result<usize> {
        let payload = [IoSlice::new(arenas.bytes(train.arena, train.bytes.clone()))];
        // A datagram is shorter than 64 KiB. Not by `quinn_udp`, which gives segmentation up for the socket after the
        // first refusal. ECN stays clear (R9601-6.1.3-01).
        let segment = train.segment as u16;
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &payload,
            &[ControlMessage::UdpGsoSegments(&segment)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(train.to)),
        )?;
        Ok(sent)
    }

    /// Rare, hence a call of its own.
    fn send_with_ttl(&self, train: &Train, ttl: u8, arenas: Arenas<'_>) -> io::Result<usize> {
        let payload = [IoSlice::new(arenas.bytes(train.arena, train.bytes.clone()))];
        let ttl = ttl.into();
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &payload,
            &[ControlMessage::Ipv4Ttl(&ttl)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(train.to)),
        )?;
        Ok(sent)
    }

    /// Once a second and peer at most, hence calls of its own.
    fn send_without_checksum(&self, train: &Train, arenas: Arenas<'_>) -> io::Result<usize> {
        let payload = arenas.bytes(train.arena, train.bytes.clone());
        setsockopt(&self.socket, NoChecksum, &true)?;
        let sent = self.socket.send_to(payload, train.to);
        setsockopt(&self.socket, NoChecksum, &false)?;
        sent
    }

    /// Sends the next single datagrams; returns how many, and their bytes.
    fn send_singles(
        &self,
        batch: &SendBatch,
        gso: bool,
        arenas: Arenas<'_>,
    ) -> Result<(usize, usize), Errno> {
        const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let mut singles = [(NOWHERE, &[][..]); MAX_SINGLES];
        let mut count = 0;
        for (slot, (to, arena, range)) in singles.iter_mut().zip(batch.singles(gso)) {
            *slot = (to, arenas.bytes(arena, range));
            count += 1;
        }
        let addresses: [_; MAX_SINGLES] = std::array::from_fn(|i| singles[i].0.as_any());
        let payloads: [_; MAX_SINGLES] = std::array::from_fn(|i| [IoSlice::new(singles[i].1)]);
        let mut controls: [_; MAX_SINGLES] =
            std::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut parts = addresses.iter().zip(&payloads).zip(&mut controls);
        let mut messages: [_; MAX_SINGLES] = std::array::from_fn(|_| {
            // `from_fn` calls as often as there are addresses, payloads and controls.
            let ((address, payload), control) = parts.next().expect("as many parts as messages");
            MMsgHdr::new_with_addr(address, payload, control)
        });
        let sent = sendmmsg(&self.socket, &mut messages[..count], SendFlags::empty())?;
        Ok((
            sent,
            singles[..sent]
                .iter()
                .map(|(_, payload)| payload.len())
                .sum(),
        ))
    }
}

/// Goes on behind a datagram that was refused, or sends a train again whose segments the kernel would not cut:
/// a device without checksum offload, or an MTU below the segment, which is what fragments are for.
fn refuse(batch: &mut SendBatch, gso: bool, error: io::Error, sent: &mut Sent) {
    if Errno::from_io_error(&error) == Some(Errno::INTR) {
        return;
    }
    let train = &mut batch.trains[batch.next];
    if gso && train.offload && train.datagrams() > 1 {
        train.offload = false;
        if matches!(
            Errno::from_io_error(&error),
            Some(Errno::MSGSIZE | Errno::INVAL | Errno::IO)
        ) {
            batch.pauses.refused(train.to, &error);
            return;
        }
        // No route, a firewall's veto: the same for each of them.
        sent.refused += train.datagrams() as u64;
        batch.next += 1;
    } else {
        sent.refused += 1;
        batch.advance(1);
    }
    sent.error = Some(error);
}
