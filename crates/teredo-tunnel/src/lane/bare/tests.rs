use proptest::prelude::*;

use super::*;

const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(60_000_000_000) + Duration::from_millis(millis)
}

/// Of datagrams to the peer at these times, those without a checksum.
fn bare(times: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut datagrams = BareDatagrams::new();
    let times = times.into_iter();
    times
        .filter(|&time| datagrams.is_due(at(time), PEER))
        .collect()
}

#[test]
fn the_second_datagram_of_a_burst_shows_it() {
    assert_eq!(bare([0, 0, 0, 0]), [0]);
    assert_eq!(bare([0, 5]), [5]);
    let mut datagrams = BareDatagrams::new();
    assert!(!datagrams.is_due(at(0), PEER));
    assert!(datagrams.is_due(at(0), PEER));
}

#[test]
fn it_is_shown_again_ever_more_rarely_and_then_once_a_second() {
    let times = bare(0..5000);
    assert_eq!(times[..8], [1, 11, 31, 71, 151, 311, 631, 1271]);
    assert_eq!(times[8..], [2271, 3271, 4271]);
}

/// The path in the kernel asks the stack by packets that are 2 s apart, and needs their proof.
#[test]
fn a_datagram_that_comes_alone_keeps_its_checksum() {
    assert_eq!(
        bare((0..100).map(|number| number * 1000)),
        Vec::<u64>::new()
    );
    // After a second of silence it begins anew.
    assert_eq!(bare([0, 1, 2000, 2001, 2002]), [1, 2001]);
}

#[test]
fn a_new_port_is_shown_to_everyone_at_once() {
    let mut datagrams = BareDatagrams::new();
    assert!(!datagrams.is_due(at(0), PEER));
    assert!(datagrams.is_due(at(1), PEER));
    assert!(!datagrams.is_due(at(2), PEER));
    datagrams.clear();
    assert!(!datagrams.is_due(at(3), PEER));
    assert!(datagrams.is_due(at(4), PEER));
}

/// 500 peers at a time have room, each for itself.
#[test]
fn peers_do_not_disturb_each_other() {
    let mut datagrams = BareDatagrams::new();
    let peers: Vec<_> = (0..500_u32)
        .map(|number| {
            let address = Ipv4Addr::from_bits(0xc000_0201 + number / 4);
            SocketAddrV4::new(address, 1024 + (number % 4) as u16)
        })
        .collect();
    let mut shown = 0;
    for time in 0..2 {
        for &peer in &peers {
            shown += usize::from(datagrams.is_due(at(time), peer));
        }
    }
    assert!(shown > 450, "{shown}");
}

proptest! {
    /// Whatever comes when: the first datagram after a second of silence has a checksum, and at most eight in any second have
    /// none, each with one that has it before.
    #[test]
    fn most_datagrams_have_a_checksum(gaps in prop::collection::vec(0..1500_u64, 1..200)) {
        let mut datagrams = BareDatagrams::new();
        let mut time = 0;
        let mut shown = Vec::new();
        for gap in gaps {
            time += gap;
            if datagrams.is_due(at(time), PEER) {
                prop_assert!(gap < 1000);
                shown.push(time);
                let last = shown.iter().filter(|&&at| at + 1000 > time).count();
                prop_assert!(last <= 8, "{:?}", shown);
            }
        }
    }
}
