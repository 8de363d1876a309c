use std::os::fd::AsFd;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterMessage, NetfilterMessageInner,
    nftables::{GenAttribute, GenMessage, NfTablesMessage},
};
use netlink_sys::{
    AsyncSocket as _, AsyncSocketExt as _, Socket, SocketAddr, TokioSocket,
    protocols::NETLINK_NETFILTER,
};
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

use crate::{
    NftError,
    batch::NFNL_SUBSYS_NFTABLES,
    socket::{RECEIVE_BUFFER, messages},
};

/// Reports the transactions of other programs, as `nft monitor` does.
pub struct Monitor {
    socket: TokioSocket,
    own: u32,
    buffer: Box<[u8]>,
}

/// A change of the ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another program committed a transaction, or several; this is the last of them.
    Committed {
        /// The number of the ruleset's generation.
        generation: u32,
        /// The name of the program, if the kernel reports it.
        process: Option<String>,
        /// The ID of its thread, if the kernel reports it.
        pid: Option<u32>,
    },
    /// Reports were lost (`ENOBUFS`): anything may have changed, the caller must look for itself.
    Lost,
}

pub(crate) const NFNLGRP_NFTABLES: u32 = 7;
pub(crate) const NFT_MSG_NEWGEN: u16 = 15;

impl Monitor {
    /// Starts to listen in the network namespace of the calling thread. It leaves out the transactions
    /// of the socket with the netlink port `own`.
    ///
    /// # Errors
    ///
    /// [`NftError::NotPermitted`], [`NftError::Socket`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O driver.
    pub fn open(own: u32) -> Result<Self, NftError> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER).map_err(NftError::socket("open"))?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 0))
            .map_err(NftError::socket("bind"))?;
        let group = socket.socket_ref().add_membership(NFNLGRP_NFTABLES);
        group.map_err(NftError::socket("join nftables' group with"))?;
        Ok(Self {
            socket,
            own,
            buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(),
        })
    }

    /// Waits until the ruleset has changed, and reports all changes so far as one.
    ///
    /// Cancel safe: a change that was not returned yet is returned by the next call.
    ///
    /// # Errors
    ///
    /// [`NftError::Socket`].
    pub async fn changed(&mut self) -> Result<Change, NftError> {
        loop {
            let mut reports = Reports {
                own: self.own,
                last: None,
            };
            let mut rest = &mut self.buffer[..];
            let read = self.socket.recv(&mut rest).await;
            let free = rest.len();
            // Nothing is awaited from here on to the return, so a cancellation loses nothing.
            match read.map_err(NftError::socket("read from")) {
                Ok(()) => reports.read(&self.buffer[..self.buffer.len() - free]),
                Err(NftError::Socket {
                    errno: Errno::NOBUFS,
                    ..
                }) => reports.last = Some(Change::Lost),
                Err(error) => return Err(error),
            }
            reports.drain(self.socket.socket_ref(), &mut self.buffer)?;
            if let Some(change) = reports.last {
                return Ok(change);
            }
        }
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// The reports since the last return.
struct Reports {
    own: u32,
    last: Option<Change>,
}

impl Reports {
    /// Reads all that is queued.
    fn drain(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result<(), NftError> {
        loop {
            match recv(socket.as_fd(), &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.last = Some(Change::Lost),
                Err(errno) => {
                    return Err(NftError::Socket {
                        operation: "read from",
                        errno,
                    });
                }
                Ok((length, _)) => self.read(&buffer[..length]),
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        for change in messages(bytes)
            .flatten()
            .filter_map(|message| commit(message, self.own))
        {
            // Later reports do not make up for a loss.
            if self.last != Some(Change::Lost) {
                self.last = Some(change);
            }
        }
    }
}

/// Reads the report that ends each transaction, and skips all others.
fn commit(bytes: &[u8], own: u32) -> Option<Change> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    if kind != u16::from(NFNL_SUBSYS_NFTABLES) << 8 | NFT_MSG_NEWGEN {
        return None;
    }
    let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).ok()?;
    if message.header.port_number == own {
        return None;
    }
    let NetlinkPayload::InnerMessage(message) = message.payload else {
        return None;
    };
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewGen(GenMessage { attributes })) =
        message.inner
    else {
        return None;
    };
    let mut change = (0, None, None);
    for attribute in attributes {
        match attribute {
            GenAttribute::Id(id) => change.0 = id,
            GenAttribute::ProcName(name) => change.1 = Some(name),
            GenAttribute::ProcPid(pid) => change.2 = Some(pid),
            _ => {}
        }
    }
    let (generation, process, pid) = change;
    Some(Change::Committed {
        generation,
        process,
        pid,
    })
}
