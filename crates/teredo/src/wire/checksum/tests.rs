use super::super::tests::ipv6;
use super::*;
use etherparse::{IcmpEchoHeader, Icmpv6Type, icmpv6::DestUnreachableCode};
use proptest::prelude::*;

proptest! {
    /// Another implementation comes to the same sum, for payloads of odd length too.
    #[test]
    fn as_etherparse(
        source in ipv6(),
        destination in ipv6(),
        id in any::<u16>(),
        seq in any::<u16>(),
        payload in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        for (kind, head) in [
            (Icmpv6Type::EchoRequest(IcmpEchoHeader { id, seq }), [&[128, 0, 0, 0][..], &id.to_be_bytes(), &seq.to_be_bytes()].concat()),
            (Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Address), vec![1, 3, 0, 0, 0, 0, 0, 0]),
        ] {
            let expected = kind.calc_checksum(source.octets(), destination.octets(), &payload).unwrap();
            let mut message = [head, payload.clone()].concat();
            prop_assert_eq!(checksum(source, destination, 58, &message), expected);
            message[2..4].copy_from_slice(&expected.to_be_bytes());
            prop_assert_eq!(checksum(source, destination, 58, &message), 0);
        }
    }
}
