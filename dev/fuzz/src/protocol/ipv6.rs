//! Any bytes as an IPv6 packet.

use teredo::wire::{Ipv6Packet, may_be_answered_with_error, set_hop_limit};

/// Runs the target with one input.
pub fn run(bytes: &[u8]) {
    let Ok((packet, rest)) = Ipv6Packet::parse_prefix(bytes) else {
        return;
    };
    assert_eq!(Ipv6Packet::parse(bytes).is_ok(), rest.is_empty());
    assert_eq!(packet.as_bytes().len() + rest.len(), bytes.len());
    let _ = (packet.to_string(), may_be_answered_with_error(bytes));
    if let Ok(layer) = packet.upper_layer() {
        assert!(packet.payload().ends_with(layer.payload));
    }

    let mut again = Vec::new();
    packet.header().emit(&mut again);
    again.extend_from_slice(packet.payload());
    assert_eq!(again, packet.as_bytes());

    set_hop_limit(&mut again, !packet.hop_limit()).expect("it was a packet before");
    assert_eq!(
        Ipv6Packet::parse(&again).map(|packet| packet.hop_limit()),
        Ok(!packet.hop_limit())
    );
}
