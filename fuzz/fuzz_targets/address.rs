//! Any IPv6 address: taken apart and put together again, it is the same.

#![no_main]

use std::net::Ipv6Addr;

use libfuzzer_sys::fuzz_target;
use teredo::wire::{TeredoAddress, is_teredo, link_local_flags};

fuzz_target!(|bits: u128| {
    let address = Ipv6Addr::from(bits);
    let parsed = TeredoAddress::from_ipv6(address);
    assert_eq!(parsed.is_some(), is_teredo(&address));
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_ipv6(), address);
        assert_eq!(parsed.flags, link_local_flags(&address));
        let _ = parsed.to_string();
    }
});
