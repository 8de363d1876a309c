//! A blocking netlink socket: one request, or one batch of them, and the kernel's verdict.
//!
//! Both rtnetlink and nfnetlink work a request off within the call that sends it, so the answer is
//! there when `send` returns. The socket therefore does not block: an answer that is missing is an
//! error, never a hang.

use std::io;

use netlink_packet_core::{
    ErrorBuffer, NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;

/// A netlink socket in the network namespace of the thread that opened it, usable from any thread.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A request that is part of a batch.
pub(crate) struct Request<M> {
    pub(crate) message: M,
    /// `NLM_F_*` besides `NLM_F_REQUEST`.
    pub(crate) flags: u16,
}

impl Netlink {
    /// Opens a socket for `protocol` (`NETLINK_ROUTE`, `NETLINK_NETFILTER`).
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request<M>(&mut self, message: M, flags: u16) -> io::Result<()>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        self.batch([Request {
            message,
            flags: flags | NLM_F_ACK,
        }])
    }

    /// Sends one request that is answered by a single message, and returns that.
    pub(crate) fn query<M>(&mut self, message: M) -> io::Result<M>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
        NetlinkPayload<M>: From<M>,
    {
        self.batch([Request { message, flags: 0 }])?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<M>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(message) => Ok(message),
                NetlinkPayload::Error(error) => Err(error.to_io()),
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }

    /// Sends all requests as one datagram and reads until the last one that asked for an
    /// acknowledgement has it, or until the first refusal.
    pub(crate) fn batch<M>(
        &mut self,
        requests: impl IntoIterator<Item = Request<M>>,
    ) -> io::Result<()>
    where
        M: NetlinkSerializable,
        NetlinkPayload<M>: From<M>,
    {
        let mut datagram = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let mut last_acknowledged = None;
        for Request { message, flags } in requests {
            self.sequence = self.sequence.wrapping_add(1);
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | flags;
            header.sequence_number = self.sequence;
            if flags & NLM_F_ACK != 0 {
                last_acknowledged = Some(self.sequence);
            }
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
            message.finalize();
            let start = datagram.len();
            datagram.resize(start + message.buffer_len(), 0);
            message.serialize(&mut datagram[start..]);
        }
        self.socket.send(&datagram, 0)?;
        let Some(last) = last_acknowledged else {
            return Ok(());
        };
        let window = last.wrapping_sub(first);
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let mut rest = &answer[..];
            while let Ok(message) = NetlinkBuffer::new_checked(rest) {
                let sequence = message.sequence_number();
                // An answer to an earlier batch that was left unread after a refusal.
                let ours = sequence.wrapping_sub(first) <= window;
                if ours && message.message_type() == NLMSG_ERROR {
                    let error = ErrorBuffer::new_checked(message.payload())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    if let Some(code) = error.code() {
                        return Err(io::Error::from_raw_os_error(-code.get()));
                    }
                    if sequence == last {
                        return Ok(());
                    }
                }
                // Netlink messages begin on multiples of four bytes.
                let next = (message.length() as usize).next_multiple_of(4);
                rest = rest.get(next..).unwrap_or_default();
            }
        }
    }
}
