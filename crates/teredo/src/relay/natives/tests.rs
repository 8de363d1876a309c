use proptest::prelude::*;

use super::*;
use crate::RelayConfig;
use crate::wire;

fn relay(served: Served) -> Relay {
    Relay::new(
        RelayConfig::new("198.51.100.9:4545".parse().unwrap(), served),
        [7; 32],
    )
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// The verdict of the longest prefix.
fn verdict(natives: &[(Ipv6Addr, u8, bool)], address: Ipv6Addr) -> bool {
    let nets = natives.iter();
    let holding = nets.filter(|&&(first, bits, _)| Prefix::new(first, bits).contains(address));
    let longest = holding.max_by_key(|(_, bits, _)| *bits);
    longest.is_some_and(|&(.., carried)| carried)
}

/// W-02: a relay for all has the unicast space without the networks that embed IPv4 addresses, one for a network has that
/// alone, and what the operator names inside a special-purpose network is left to the relay.
#[test]
fn the_natives_of_usual_relays() {
    let networks = |list: &[&str]| {
        let list = list.iter().map(|text| prefix(text)).collect();
        let natives = relay(Served::Networks(list)).natives();
        let text = |&(first, bits, carried)| format!("{first}/{bits} {carried}");
        natives.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let all = "2000::/3 true, 2001::/23 false, 2002::/16 false, 3ffe:831f::/32 false";
    assert_eq!(networks(&[]), all);
    assert_eq!(networks(&["::/0", "2002:c000::/24"]), all);
    assert_eq!(networks(&["2001:db8::/32"]), "2001:db8::/32 true");
    assert_eq!(
        networks(&["64:ff9b::/96", "fd00::/8", "2001::/32", "2001:20::/28"]),
        ""
    );
    let hosts = ["2001:db8::1", "2002:c000:201::1", "fe80::1"];
    let host = Served::Host(hosts.map(|text| text.parse().unwrap()).to_vec());
    assert_eq!(
        relay(host).natives(),
        [("2001:db8::1".parse().unwrap(), 128, true)]
    );
}

/// R4380-7.3.5-01: however many networks there are, the list has its bound, and the rest is left out.
#[test]
fn the_natives_are_bounded() {
    let numbered = |number: u16| Prefix::new(Ipv6Addr::new(0x2a00, number, 0, 0, 0, 0, 0, 0), 32);
    let natives = relay(Served::Networks((0..1000).map(numbered).collect())).natives();
    assert!(natives.len() > MOST / 2 && natives.len() <= MOST);
    assert!(natives.iter().all(|&(.., carried)| carried));
}

/// An address with bits in common with the networks that matter.
fn address() -> impl Strategy<Value = Ipv6Addr> {
    let known = [
        "2001:db8::1",
        "2001:db8:1::1",
        "2001::1",
        "2001:1::1",
        "2001:20::1",
        "2001:200::1",
        "2002:c000:201::1",
        "2002:a00:1::1",
        "3ffe:831f::1",
        "3fff::1",
        "64:ff9b::c000:201",
        "64:ff9b:1::1",
        "100::1",
        "5f00::1",
        "fd00::1",
        "fe80::1",
        "ff0e::1",
        "::1",
        "::ffff:192.0.2.1",
        "4000::1",
        "2a00::1",
    ];
    let known = prop::sample::select(known.map(|text| text.parse::<Ipv6Addr>().unwrap()).to_vec());
    let nearby = (known, 0..129u8, any::<u128>()).prop_map(|(known, bits, other)| {
        let kept = Prefix::new(known, bits).first().to_bits();
        let mask = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
        Ipv6Addr::from_bits(kept | other & mask)
    });
    prop_oneof![4 => nearby, 1 => any::<u128>().prop_map(Ipv6Addr::from_bits)]
}

fn served() -> impl Strategy<Value = Served> {
    let networks = prop::collection::vec((address(), 0..129u8), 0..8);
    let networks = networks.prop_map(|nets| {
        nets.into_iter()
            .map(|(net, bits)| Prefix::new(net, bits))
            .collect()
    });
    prop_oneof![
        networks.prop_map(Served::Networks),
        prop::collection::vec(address(), 0..8).prop_map(Served::Host),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// R4380-5.4.2-04, L-04, W-02: of what a prefix lets pass, the relay carries every packet in both directions. It carries
    /// no more by itself, but for the doubtful networks.
    #[test]
    fn the_natives_are_those_that_the_relay_carries(served in served(), address in address()) {
        let relay = relay(served);
        let Verdict { takes, gives } = judged(&relay, address);
        let carried = verdict(&relay.natives(), address);
        prop_assert!(!carried || takes && gives, "{address}");
        let is_doubtful = DOUBTFUL.iter().any(|net| net.contains(address)) || !GLOBAL.contains(address);
        prop_assert_eq!(carried || is_doubtful, takes && gives || is_doubtful, "{}", address);
    }
}

struct Verdict {
    takes: bool,
    gives: bool,
}

/// The relay's own verdict for packets to and from a native address.
fn judged(relay: &Relay, address: Ipv6Addr) -> Verdict {
    let is_native = !wire::is_teredo(&address) && wire::is_global(address);
    let RelayConfig {
        served,
        destinations,
        ..
    } = relay.config();
    Verdict {
        takes: is_native && served.takes(destinations, address),
        gives: is_native && served.gives(destinations, address).is_ok(),
    }
}
