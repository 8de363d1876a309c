//! Datagrams in: a fixed arena, filled by one system call and read in place.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;

use quinn_udp::{BATCH_SIZE, RecvMeta};
use teredo::wire::Ecn;

use super::ServiceSocket;

/// The longest train that the kernel merges, and the longest datagram, reassembled or not (R4380-5.1.2-04).
const SLOT: usize = 1 << 16;

/// From one slot to the next. At a distance of a power of two, the beginnings of all slots, and so all small datagrams,
/// would share a few lines of the processor's caches.
const STRIDE: usize = SLOT + 5 * 64;

/// One datagram of a [`ReceiveBatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Who sent it.
    pub(crate) from: SocketAddrV4,
    /// The address that it was sent to.
    pub(crate) to: Ipv4Addr,
    /// The ECN bits of the outer header.
    pub(crate) ecn: Ecn,
    /// Where its payload lies in the batch's arena.
    pub(crate) payload: Range<usize>,
}

/// The datagrams of one system call.
#[derive(Debug)]
pub(crate) struct ReceiveBatch {
    arena: Box<[u8]>,
    meta: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; BATCH_SIZE * STRIDE].into(),
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    pub(crate) fn arena_mut(&mut self) -> &mut [u8] {
        &mut self.arena
    }

    pub(crate) fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Whether more datagrams may wait in the socket.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == BATCH_SIZE
    }

    /// The datagrams, in the order of their arrival.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram> + '_ {
        self.meta[..self.filled]
            .iter()
            .enumerate()
            .flat_map(|(slot, meta)| split(slot * STRIDE, meta))
    }
}

/// Cuts a train at its stride. An empty datagram is one, too.
fn split(base: usize, meta: &RecvMeta) -> impl Iterator<Item = Datagram> {
    let len = meta.len.min(SLOT);
    let stride = if meta.stride == 0 { SLOT } else { meta.stride };
    let to = match meta.dst_ip {
        Some(IpAddr::V4(to)) => to,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let from = match meta.addr {
        SocketAddr::V4(from) => Some(from),
        // Not on an IPv4 socket.
        SocketAddr::V6(_) => None,
    };
    let ecn = meta
        .ecn
        .map_or(Ecn::NotEct, |ecn| Ecn::from_bits(ecn as u8));
    let starts = (0..len.max(1)).step_by(stride);
    from.into_iter().flat_map(move |from| {
        let starts = starts.clone();
        starts.map(move |start| {
            let payload = base + start..base + (start + stride).min(len);
            Datagram {
                from,
                to,
                ecn,
                payload,
            }
        })
    })
}

impl ServiceSocket {
    /// Replaces the contents of `batch` with the datagrams that wait in the socket, as many as fit.
    ///
    /// Fails with `WouldBlock` if nothing waits.
    pub(crate) fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.filled = 0;
        let slots = batch.arena.chunks_exact_mut(STRIDE);
        let mut slots = slots.map(|slot| &mut slot[..SLOT]);
        // The arena has exactly `BATCH_SIZE` slots; an empty one would only receive nothing.
        let mut buffers: [_; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        batch.filled = self.past_errors(|| {
            self.state
                .recv((&self.socket).into(), &mut buffers, &mut batch.meta)
        })?;
        Ok(())
    }
}
