//! Many datagrams with one system call, either way.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

/// The most datagrams of a call.
pub(crate) const BATCH: usize = 64;
/// Room for each.
const ROOM: usize = 2048;

/// The buffers of a call, made once.
pub(crate) struct Batch {
    outgoing: MultiHeaders<SockaddrStorage>,
    incoming: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; ROOM]>,
    lens: Vec<usize>,
    from: Vec<Option<SockaddrStorage>>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            outgoing: MultiHeaders::preallocate(BATCH, None),
            incoming: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; ROOM]; BATCH],
            lens: Vec::with_capacity(BATCH),
            from: Vec::with_capacity(BATCH),
        }
    }

    /// Sends up to [`BATCH`] datagrams, to these addresses or to the peer of a connected socket. Returns how many left.
    pub(crate) fn send<'a>(
        &mut self,
        socket: &impl AsRawFd,
        datagrams: impl Iterator<Item = &'a [u8]>,
        to: &[Option<SockaddrStorage>],
    ) -> Result<usize> {
        let slices: Vec<_> = datagrams.map(|bytes| [IoSlice::new(bytes)]).collect();
        let headers = &mut self.outgoing;
        let flags = MsgFlags::MSG_DONTWAIT;
        match sendmmsg(socket.as_raw_fd(), headers, &slices, to, [], flags) {
            Ok(sent) => Ok(sent.count()),
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives the datagrams that are there; with `wait` it waits for the first one. Returns how many came.
    pub(crate) fn receive(&mut self, socket: &impl AsRawFd, wait: bool) -> Result<usize> {
        let buffers = self.buffers.iter_mut();
        let mut slices: Vec<_> = buffers
            .map(|buffer| [IoSliceMut::new(&mut buffer[..])])
            .collect();
        let flags = if wait {
            MsgFlags::MSG_WAITFORONE
        } else {
            MsgFlags::MSG_DONTWAIT
        };
        self.lens.clear();
        self.from.clear();
        let headers = &mut self.incoming;
        match recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None) {
            Ok(received) => {
                for message in received {
                    self.lens.push(message.bytes);
                    self.from.push(message.address);
                }
                Ok(self.lens.len())
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The datagrams that were received last.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let buffers = self.buffers.iter().zip(&self.lens);
        buffers.map(|(buffer, len)| &buffer[..*len])
    }

    /// Sends the datagrams that were received last back to their senders.
    pub(crate) fn echo(&mut self, socket: &impl AsRawFd) -> Result<usize> {
        let slices: Vec<_> = self
            .buffers
            .iter()
            .zip(&self.lens)
            .map(|(buffer, len)| [IoSlice::new(&buffer[..*len])])
            .collect();
        let flags = MsgFlags::empty();
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut self.outgoing,
            &slices,
            &self.from,
            [],
            flags,
        )?;
        Ok(sent.count())
    }
}
