//! The features of an interface for XDP, by the generic netlink family `netdev` (Linux 6.3).

use std::io;
use std::num::NonZeroU32;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

// linux/netlink.h, linux/genetlink.h, linux/netdev.h
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_XDP_ACT_NDO_XMIT: u64 = 4;

const NETLINK_HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// Whether the driver can send frames that programs have made.
pub(super) fn sends_frames(interface: NonZeroU32) -> io::Result<bool> {
    let socket = Socket::new(NETLINK_GENERIC)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let name = b"netdev\0";
    let family = ask(
        &socket,
        (GENL_ID_CTRL, CTRL_CMD_GETFAMILY),
        (CTRL_ATTR_FAMILY_NAME, name),
        CTRL_ATTR_FAMILY_ID,
    )?;
    let family = family
        .first_chunk()
        .map(|id| u16::from_ne_bytes(*id))
        .ok_or(io::ErrorKind::Unsupported)?;
    let features = ask(
        &socket,
        (family, NETDEV_CMD_DEV_GET),
        (NETDEV_A_DEV_IFINDEX, &interface.get().to_ne_bytes()),
        NETDEV_A_DEV_XDP_FEATURES,
    )?;
    let features = features.first_chunk().map(|bits| u64::from_ne_bytes(*bits));
    Ok(features.is_some_and(|bits| bits & NETDEV_XDP_ACT_NDO_XMIT != 0))
}

/// Sends a request with one attribute, and returns one attribute of the answer.
fn ask(
    socket: &Socket,
    (family, command): (u16, u8),
    (kind, value): (u16, &[u8]),
    wanted: u16,
) -> io::Result<Vec<u8>> {
    let attribute = ATTRIBUTE_HEADER + value.len();
    let len = NETLINK_HEADER + GENERIC_HEADER + attribute.next_multiple_of(4);
    let mut request = Vec::with_capacity(len);
    request.extend_from_slice(&(len as u32).to_ne_bytes());
    request.extend_from_slice(&family.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&[command, 1, 0, 0]);
    request.extend_from_slice(&(attribute as u16).to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(value);
    request.resize(len, 0);
    socket.send(&request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let refused = || io::Error::from(io::ErrorKind::Unsupported);
    if answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes()) {
        return Err(refused());
    }
    let mut rest = answer
        .get(NETLINK_HEADER + GENERIC_HEADER..)
        .ok_or_else(refused)?;
    while let Some((&[l0, l1, k0, k1], _)) = rest.split_first_chunk::<ATTRIBUTE_HEADER>() {
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(ATTRIBUTE_HEADER..len).ok_or_else(refused)?;
        if u16::from_ne_bytes([k0, k1]) == wanted {
            return Ok(value.to_vec());
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Err(refused())
}
