//! A NAT in user space follows the port mappings that miniupnpd writes into chains without a hook.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use teredo_nft::{Expression, Field, Netlink, PayloadBase, RuleInfo};

use super::{PREROUTING, table};
use crate::error::{Attempt, LabError};
use crate::namespace::Namespace;
use crate::user_space::Granting;

/// A look at the chain costs less than 100 us.
const PERIOD: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// The protocol in the IPv4 header.
const PROTOCOL: Field = Field::payload(PayloadBase::Network, 9, 1);
const UDP: u8 = 17;

/// A thread that reads the mappings, until this is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    /// Closing it ends the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(namespace: &Namespace, granting: Granting) -> Result<Self, LabError> {
        let what = || String::from("follow the mappings of the gateway device");
        let mut nftables = namespace
            .run(Netlink::open)
            .and_then(|opened| opened.map_err(io::Error::from))
            .attempt(what())?;
        let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .attempt(what())?;
        let thread = thread::Builder::new()
            .name("lab-igd".into())
            .spawn(move || follow(&mut nftables, &granting, &stopped))
            .attempt(what())?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of a gateway device had panicked");
        }
    }
}

fn follow(nftables: &mut Netlink, granting: &Granting, stopped: &OwnedFd) {
    let mut known = Vec::new();
    loop {
        let mut ready = [PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&PERIOD)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return,
        }
        // There is no table while it is made anew.
        let rules = nftables
            .rules(&table(), Some(PREROUTING))
            .unwrap_or_default();
        let mappings: Vec<_> = rules.iter().flatten().filter_map(mapping).collect();
        if mappings != known {
            granting.set(&mappings);
            known = mappings;
        }
    }
}

/// The external port and the socket inside of a rule for UDP.
///
/// ```text
/// iif uplink, protocol udp, th dport 40000, dnat ip to 192.168.1.2:40000
/// ```
fn mapping(rule: &RuleInfo) -> Option<(u16, SocketAddrV4)> {
    let mut loaded = None;
    let mut is_udp = false;
    let mut port = None;
    let mut constants = Vec::new();
    for expression in &rule.expressions {
        match expression {
            Expression::Load { field, .. } => loaded = Some(*field),
            Expression::Compare { value, .. } if loaded == Some(PROTOCOL) => {
                is_udp = value[..] == [UDP];
            }
            Expression::Compare { value, .. } if loaded == Some(Field::DESTINATION_PORT) => {
                port = number(value);
            }
            Expression::Constant { value, .. } => constants.push(value),
            _ => {}
        }
    }
    let [address, inside, ..] = constants[..] else {
        return None;
    };
    let address: [u8; 4] = address[..].try_into().ok()?;
    let inside = SocketAddrV4::new(address.into(), number(inside)?);
    Some((port.filter(|_| is_udp)?, inside))
}

/// A port at the beginning of a register.
fn number(register: &[u8]) -> Option<u16> {
    let bytes = register.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}
