//! The sockets of a block of random ports, which the birthday method opens all at once (`teredo::client`).
//!
//! They are too many for the lane's own poll, and live for seconds. So an epoll instance of their own waits for them, and the
//! lane waits for that.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Resource, getrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use teredo::Instant;
use teredo::client::{PORT_BLOCK, RANDOM_PORT_RANGE};

use crate::BindError;
use crate::offload::Offload;
use crate::port::open;
use crate::udp::ServiceSocket;

/// The descriptors that are left to the rest of the process.
const RESERVE: u64 = 384;
/// The most sockets that one turn of the lane reads.
const TURN: usize = 64;

/// An open block.
#[derive(Debug)]
pub(super) struct Block {
    sockets: Vec<ServiceSocket>,
    epoll: OwnedFd,
    /// The number of its announcement, while firewalls do not admit it yet, and when they are late.
    pub(super) waiting: Option<(u64, Option<Instant>)>,
}

impl Block {
    /// Binds free ports of the range of random ports.
    pub(super) fn bind(address: Ipv4Addr, offload: Offload) -> io::Result<Self> {
        let limit = getrlimit(Resource::Nofile).current;
        if limit.is_some_and(|limit| limit < RESERVE + PORT_BLOCK as u64) {
            return Err(io::Error::other("the limit of open files is too low"));
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sockets = Vec::with_capacity(PORT_BLOCK);
        for number in drawn()? {
            let socket = match open(address, number, offload) {
                Err(BindError::InUse { .. }) => continue,
                opened => opened.map_err(io::Error::other)?,
            };
            let data = epoll::EventData::new_u64(number.into());
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
            sockets.push(socket);
            if sockets.len() == PORT_BLOCK {
                break;
            }
        }
        Ok(Self {
            sockets,
            epoll,
            waiting: None,
        })
    }

    pub(super) fn sockets(&self) -> &[ServiceSocket] {
        &self.sockets
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The ports that have something to read.
    pub(super) fn ready(&self) -> Vec<u16> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(TURN);
        // An interrupted call is repeated with the next turn.
        let _ = epoll::wait(
            &self.epoll,
            spare_capacity(&mut events),
            Some(&Timespec::default()),
        );
        let ports = events.iter().map(|event| event.data.u64() as u16);
        ports.collect()
    }

    /// Closes all sockets but one.
    pub(super) fn close(self, keep: Option<u16>) -> Option<ServiceSocket> {
        let mut sockets = self.sockets.into_iter();
        sockets.find(|socket| Some(socket.local().port()) == keep)
    }
}

/// Numbers to try, of which some may be taken.
fn drawn() -> io::Result<Vec<u16>> {
    let mut random = [0; 4 * PORT_BLOCK];
    let filled = getrandom(&mut random, GetRandomFlags::empty())?;
    let numbers = random[..filled].chunks_exact(2);
    let numbers =
        numbers.map(|pair| RANDOM_PORT_RANGE.start() | u16::from_ne_bytes([pair[0], pair[1]]));
    Ok(numbers.collect())
}
