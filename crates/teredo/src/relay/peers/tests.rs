mod table;
mod underway;

use super::*;
use crate::slots::{Bounds, SipKeys};

/// A peer with this number.
fn key(number: u32) -> Key {
    TeredoAddress {
        server: Ipv4Addr::new(192, 0, 2, 1),
        flags: Flags::from_bits((number >> 16) as u16),
        mapped: SocketAddrV4::new(Ipv4Addr::from_bits(0x0500_0000 + number), number as u16),
    }
    .into()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

#[test]
fn a_key_holds_a_whole_address() {
    for bits in [
        0,
        1,
        0xffff_ffff_ffff_ffff_ffff_ffff,
        0x1234_5678_9abc_def0_1122_3344,
    ] {
        let address = (0x2001_0000 << 96) | bits;
        let teredo = TeredoAddress::from_ipv6(address.into()).unwrap();
        assert_eq!(TeredoAddress::from(Key::from(teredo)), teredo);
    }
}

/// A tick leaves room for the mark of an offered path, however late it is.
#[test]
fn the_last_tick_has_31_bits() {
    for nanos in [TICK << 31, TICK << 32, u64::MAX] {
        assert_eq!(Tick::at(Instant::from_nanos(nanos)), Tick(Tick::LATEST));
    }
    assert_eq!(Tick::at(at(250)).start(), at(200));
}
