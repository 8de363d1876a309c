//! Echo requests from a host.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use etherparse::{IcmpEchoHeader, Icmpv6Header, Icmpv6Slice, Icmpv6Type};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Host, Receive};

/// The bursts of this process so far.
static BURSTS: AtomicU16 = AtomicU16::new(0);

/// The answers to a burst of echo requests.
#[derive(Debug)]
pub struct Replies {
    /// The sequence numbers, in the order of their arrival.
    pub order: Vec<u16>,
    /// From the burst to the first answer.
    pub first: Option<Duration>,
}

impl Replies {
    /// Whether nothing was lost and nothing came out of order.
    pub fn are_all_in_order(&self, count: u16) -> bool {
        self.order.iter().copied().eq(0..count)
    }
}

/// Sends `count` echo requests at once from `host`, so that all wait together for whatever has to be set up first,
/// and collects the answers until all are there or `timeout` has passed. Late answers to another burst do not count.
///
/// # Errors
///
/// The kernel's refusal to send, such as `NetworkUnreachable` if there is no route.
pub fn ping(
    host: &Host,
    destination: Ipv6Addr,
    count: u16,
    timeout: Duration,
) -> io::Result<Replies> {
    host.namespace().run(|| {
        let burst = Burst::open(destination)?;
        burst.send(count)?;
        burst.collect(count, timeout)
    })?
}

/// Echo requests that are one question.
struct Burst {
    socket: UdpSocket,
    identifier: u16,
    start: Instant,
}

impl Burst {
    fn open(destination: Ipv6Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        // No sockaddr of a raw socket has a port; std's methods read, write and connect all the same.
        let socket = UdpSocket::from(socket);
        socket.connect(SocketAddrV6::new(destination, 0, 0, 0))?;
        // A raw socket gets the answers to all bursts, late ones of the last burst too. Processes that start one after
        // the other are far apart.
        let number = BURSTS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id() as u16;
        Ok(Self {
            socket,
            identifier: process.wrapping_mul(257).wrapping_add(number),
            start: Instant::now(),
        })
    }

    fn send(&self, count: u16) -> io::Result<()> {
        for sequence in 0..count {
            let echo = IcmpEchoHeader {
                id: self.identifier,
                seq: sequence,
            };
            // The kernel fills the checksum in.
            let mut message = [0; 56];
            let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(echo)).to_bytes();
            message[..header.len()].copy_from_slice(&header);
            self.socket.send(&message)?;
        }
        Ok(())
    }

    fn collect(&self, count: u16, timeout: Duration) -> io::Result<Replies> {
        let mut replies = Replies {
            order: Vec::new(),
            first: None,
        };
        let mut buffer = [0; 2048];
        while replies.order.len() < usize::from(count) {
            let Some(left) = timeout
                .checked_sub(self.start.elapsed())
                .filter(|left| !left.is_zero())
            else {
                break;
            };
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.receive(&mut buffer) {
                Ok(length) => {
                    let message = Icmpv6Slice::from_slice(&buffer[..length]);
                    let kind = message.map(|message| message.icmp_type());
                    if let Ok(Icmpv6Type::EchoReply(echo)) = kind
                        && echo.id == self.identifier
                    {
                        replies.first.get_or_insert_with(|| self.start.elapsed());
                        replies.order.push(echo.seq);
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(replies)
    }
}

#[cfg(test)]
mod tests;
