//! Any IPv6 address: taken apart and put together again, it is the same.

use std::net::Ipv6Addr;

use teredo::wire::{TeredoAddress, is_teredo, link_local_flags};

/// Runs the target with one input.
pub fn run(bits: u128) {
    let address = Ipv6Addr::from(bits);
    let parsed = TeredoAddress::from_ipv6(address);
    assert_eq!(parsed.is_some(), is_teredo(&address));
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_ipv6(), address);
        assert_eq!(parsed.flags, link_local_flags(&address));
        let _ = parsed.to_string();
    }
}
