//! One agent a host: its claim is an element of the table, by the netlink port of the agent, with the lease of all else.
//!
//! A table of the agent's own, with the kernel's owner flag, would do the same, but a ruleset that contains it cannot be
//! restored.

use teredo_nft::{Element, Netlink, NftError};

use crate::table::{self, AGENTS};

/// The element by which an agent holds the table.
pub(crate) fn element(port: u32) -> Element {
    Element::new(port.to_ne_bytes())
}

/// The netlink port of a running agent; none if there is none.
pub(crate) fn holder(netlink: &mut Netlink) -> Result<Option<u32>, NftError> {
    let own = netlink.port();
    let elements = netlink
        .elements(&table::name(), AGENTS)?
        .unwrap_or_default();
    let ports = elements
        .iter()
        .filter_map(|element| <[u8; 4]>::try_from(element.key.as_slice()).ok())
        .map(u32::from_ne_bytes);
    // The claim of a killed agent outlives it by the lease.
    let alive = alive();
    Ok(ports
        .filter(|port| *port != own)
        .find(|port| alive.contains(port)))
}

/// The ports of the nftables sockets of this network namespace.
fn alive() -> Vec<u32> {
    /// NETLINK_NETFILTER
    const PROTOCOL: &str = "12";
    let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default();
    let port = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        (fields.next()? == PROTOCOL).then(|| fields.next()?.parse().ok())?
    };
    sockets.lines().filter_map(port).collect()
}
