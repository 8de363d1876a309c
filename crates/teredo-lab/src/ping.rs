//! Echo requests from a host: the first thing that anybody tries.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use crate::{Host, Receive};
use socket2::{Domain, Protocol, Socket, Type};

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

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
/// and collects the answers until all are there or `timeout` has passed.
///
/// # Errors
///
/// The kernel's refusal to send, such as `NetworkUnreachable` where there is no route.
pub fn ping(
    host: &Host,
    destination: Ipv6Addr,
    count: u16,
    timeout: Duration,
) -> io::Result<Replies> {
    host.namespace().run(|| {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        // No sockaddr of a raw socket has a port; std's methods read, write and connect all the same.
        let socket = UdpSocket::from(socket);
        socket.connect(SocketAddrV6::new(destination, 0, 0, 0))?;
        let identifier = (std::process::id() as u16).to_be_bytes();
        let start = Instant::now();
        for sequence in 0..count {
            let [high, low] = sequence.to_be_bytes();
            // The kernel fills the checksum in.
            let mut message = [0; 56];
            message[..8].copy_from_slice(&[
                ECHO_REQUEST,
                0,
                0,
                0,
                identifier[0],
                identifier[1],
                high,
                low,
            ]);
            socket.send(&message)?;
        }
        let mut replies = Replies {
            order: Vec::new(),
            first: None,
        };
        let mut buffer = [0; 2048];
        while replies.order.len() < usize::from(count) {
            let Some(left) = timeout
                .checked_sub(start.elapsed())
                .filter(|left| !left.is_zero())
            else {
                break;
            };
            socket.set_read_timeout(Some(left))?;
            match socket.receive(&mut buffer) {
                Ok(8..) if buffer[0] == ECHO_REPLY && buffer[4..6] == identifier => {
                    replies.first.get_or_insert_with(|| start.elapsed());
                    replies
                        .order
                        .push(u16::from_be_bytes([buffer[6], buffer[7]]));
                }
                Ok(_) => {}
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
    })?
}
