//! The host's rules that an answer in the kernel would not meet.
//!
//! A server has no peers whose datagrams could ask the stack one by one: each solicitation may come from another source. So
//! the kernel answers only while no rule can tell one source from another, and the solicitations that ask the stack speak for
//! all of them.

use std::io::{self, ErrorKind};

use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use teredo_nft::{Netlink, NftError, Service};

use crate::net::legacy_rules;

// linux/netlink.h, linux/xfrm.h
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const XFRM_MSG_GETPOLICY: u16 = 21;
/// The length of `struct xfrm_userpolicy_id` with its padding.
const POLICY_ID: usize = 64;
const NETLINK_HEADER: usize = 16;

/// The first thing that may treat some solicitations, or their answers, unlike others; in words.
pub(super) fn obstacle(services: &[Service]) -> Result<Option<String>, String> {
    Ok(nftables(services)?.or_else(legacy).or(ipsec()?))
}

fn nftables(services: &[Service]) -> Result<Option<String>, String> {
    let examined = Netlink::open().and_then(|mut netlink| netlink.unlike_treatment(services));
    match examined {
        Ok(found) => {
            Ok(found.map(|rule| format!("the rules may treat some sources unlike others: {rule}")))
        }
        // A kernel without nftables.
        Err(NftError::Socket { errno, .. }) if errno == rustix::io::Errno::PROTONOSUPPORT => {
            Ok(None)
        }
        Err(error) => Err(format!("the rules of nftables cannot be read: {error}")),
    }
}

/// The table of iptables-legacy with rules, which are hidden from nftables; in words.
pub(super) fn legacy() -> Option<String> {
    match legacy_rules() {
        Ok(None) => None,
        Ok(Some(table)) => Some(format!("iptables-legacy has rules in the table `{table}`")),
        Err(error) => Some(format!(
            "the rules of iptables-legacy cannot be read: {error}"
        )),
    }
}

fn ipsec() -> Result<Option<String>, String> {
    match has_policy() {
        Ok(true) => Ok(Some("the host has policies of IPsec".to_owned())),
        Ok(false) => Ok(None),
        Err(error) => Err(format!("the policies of IPsec cannot be read: {error}")),
    }
}

/// Whether there is any policy of IPsec.
fn has_policy() -> io::Result<bool> {
    let socket = match Socket::new(NETLINK_XFRM) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(false),
        socket => socket?,
    };
    socket.connect(&SocketAddr::new(0, 0))?;
    let len = NETLINK_HEADER + POLICY_ID;
    let mut request = Vec::with_capacity(len);
    request.extend_from_slice(&(len as u32).to_ne_bytes());
    request.extend_from_slice(&XFRM_MSG_GETPOLICY.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.resize(len, 0);
    socket.send(&request, 0)?;
    // The first message tells: a policy, or the end of the list.
    let (answer, _) = socket.recv_from_full()?;
    let header = answer
        .get(..NETLINK_HEADER + 4)
        .ok_or(ErrorKind::InvalidData)?;
    match u16::from_ne_bytes([header[4], header[5]]) {
        NLMSG_DONE => Ok(false),
        NLMSG_ERROR => {
            let errno = i32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
            Err(io::Error::from_raw_os_error(-errno))
        }
        _ => Ok(true),
    }
}
