//! IPsec policies that may concern Teredo's datagrams, and changes of policies.
//!
//! A policy demands that datagrams are encrypted. A forged one in the clear has the addresses and ports of those that were
//! decrypted, so a path that bypasses the stack cannot tell them apart.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NlasIterator;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// A socket that hears of changes of IPsec policies in the network namespace of the thread that opened it. It never waits.
#[derive(Debug)]
pub struct IpsecPolicies {
    changes: Socket,
    buffer: Box<[u8]>,
}

/// A policy that may concern datagrams of Teredo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpsecPolicy {
    /// Whether it is about datagrams that arrive, and not about those that leave.
    pub arrives: bool,
    /// The kernel's number of it, as `ip xfrm policy` shows it.
    pub index: u32,
}

impl fmt::Display for IpsecPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.arrives { "in" } else { "out" };
        write!(
            f,
            "the IPsec policy with index {} (dir {direction}) may concern the datagrams",
            self.index
        )
    }
}

// linux/netlink.h and linux/xfrm.h
const NETLINK_XFRM: isize = 6;
const XFRMNLGRP_POLICY: u32 = 4;
const XFRM_MSG_NEWPOLICY: u16 = 0x13;
const XFRM_MSG_GETPOLICY: u16 = 0x15;
const XFRMA_TMPL: u16 = 5;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// The length of netlink's header.
const HEADER: usize = 16;
/// Of `struct xfrm_userpolicy_id`.
const POLICY_ID: usize = 64;
/// Of `struct xfrm_userpolicy_info`, which begins with the selector.
const POLICY: usize = 168;

/// The kernel cuts its dumps into messages of at most 32 KiB.
const BUFFER: usize = 64 * 1024;

/// The most bytes of policies that are read: some 50,000 policies.
const LIMIT: usize = 16 << 20;

impl IpsecPolicies {
    /// Starts to listen; none if the kernel has no IPsec.
    ///
    /// # Errors
    /// The kernel refuses the socket, or its group without CAP_NET_ADMIN.
    pub fn open() -> io::Result<Option<Self>> {
        let mut changes = match Socket::new(NETLINK_XFRM) {
            Err(error) if error.raw_os_error() == Some(Errno::PROTONOSUPPORT.raw_os_error()) => {
                return Ok(None);
            }
            socket => socket?,
        };
        changes.bind(&SocketAddr::new(0, 0))?;
        changes.add_membership(XFRMNLGRP_POLICY)?;
        Ok(Some(Self {
            changes,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        }))
    }

    /// Whether policies have changed since the last call. A lost announcement counts as a change.
    ///
    /// # Errors
    /// Those of recv(2).
    pub fn changed(&mut self) -> io::Result<bool> {
        let mut changed = false;
        loop {
            match recv(
                self.changes.as_fd(),
                &mut self.buffer[..],
                RecvFlags::DONTWAIT,
            ) {
                Ok(_) | Err(Errno::NOBUFS) => changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(changed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The first policy that may concern UDP over IPv4 from or to these ports of this host, and that demands a transformation.
    ///
    /// # Errors
    /// The kernel does not answer, or has too many policies.
    pub fn find(&mut self, ports: &RangeInclusive<u16>) -> io::Result<Option<IpsecPolicy>> {
        // A dump that is not read to its end stays with its socket.
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let length = (HEADER + POLICY_ID) as u32;
        let mut request = Vec::with_capacity(HEADER + POLICY_ID);
        request.extend(length.to_ne_bytes());
        request.extend(XFRM_MSG_GETPOLICY.to_ne_bytes());
        request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        request.resize(HEADER + POLICY_ID, 0);
        retry_on_intr(|| send(socket.as_fd(), &request, SendFlags::empty()))?;
        let mut total = 0;
        loop {
            // The kernel has queued a part of the answer when the call returns, and makes the next one while it is read.
            let (length, _) =
                retry_on_intr(|| recv(socket.as_fd(), &mut self.buffer[..], RecvFlags::DONTWAIT))?;
            total += length;
            if total > LIMIT {
                let error = format!("the IPsec policies take more than {LIMIT} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
            }
            for (kind, body) in messages(&self.buffer[..length]) {
                match kind {
                    NLMSG_DONE => return Ok(None),
                    NLMSG_ERROR => {
                        let code = word(body, 0).unwrap_or_default().cast_signed();
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    XFRM_MSG_NEWPOLICY => {
                        if let Some(policy) = concerns(body, ports) {
                            return Ok(Some(policy));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

impl AsFd for IpsecPolicies {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

/// The policy, if its selector takes datagrams of ours. One without a template demands nothing, such as those that make an
/// exception; one that blocks has an effect on samples, too.
fn concerns(body: &[u8], ports: &RangeInclusive<u16>) -> Option<IpsecPolicy> {
    const IN: u8 = 0;
    const OUT: u8 = 1;
    const ALLOW: u8 = 0;
    const IPV4: u16 = 2;
    const UDP: u8 = 17;
    let (policy, attributes) = body.split_at_checked(POLICY)?;
    let short = |offset: usize| Some([*policy.get(offset)?, *policy.get(offset + 1)?]);
    let (direction, action) = (*policy.get(160)?, *policy.get(161)?);
    let family = u16::from_ne_bytes(short(40)?);
    let protocol = *policy.get(44)?;
    // The selector: destination port and its mask, source port and its mask.
    let place = match direction {
        IN => 32,
        OUT => 36,
        // Forwarded packets, and the policies of sockets.
        _ => return None,
    };
    let (port, mask) = (
        u16::from_be_bytes(short(place)?),
        u16::from_be_bytes(short(place + 2)?),
    );
    let ours = match mask {
        0 => true,
        u16::MAX => ports.contains(&port),
        _ => true,
    };
    let demands = NlasIterator::new(attributes)
        .flatten()
        .any(|attribute| attribute.kind() == XFRMA_TMPL && !attribute.value().is_empty());
    let concerns = (family == IPV4 || family == 0) && (protocol == UDP || protocol == 0) && ours;
    (concerns && demands && action == ALLOW).then_some(IpsecPolicy {
        arrives: direction == IN,
        index: word(policy, 156)?,
    })
}

/// Cuts what one `recv` returned into messages: their kinds and bodies.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let kind = u16::from_ne_bytes([*bytes.get(4)?, *bytes.get(5)?]);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests;
