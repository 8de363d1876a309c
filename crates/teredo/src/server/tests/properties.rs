use proptest::prelude::*;

use super::*;
use crate::wire::{Authentication, Icmpv6, Origin, PORT, emit_echo_reply};

fn outer() -> impl Strategy<Value = SocketAddrV4> {
    prop_oneof![
        Just(CLIENT),
        Just(PEER),
        Just(RELAY),
        Just(SocketAddrV4::new(PRIMARY, PORT)),
        Just(SocketAddrV4::new(SECONDARY, PORT)),
        Just(SocketAddrV4::new(FOREIGN_SERVER, PORT)),
        any::<(u32, u16)>().prop_map(|(ip, port)| SocketAddrV4::new(ip.into(), port)),
    ]
}

fn inner() -> impl Strategy<Value = Ipv6Addr> {
    let servers = prop_oneof![Just(PRIMARY), Just(SECONDARY), Just(FOREIGN_SERVER)];
    prop_oneof![
        4 => (servers, outer()).prop_map(|(server, mapped)| teredo(server, mapped)),
        1 => Just(NATIVE),
        1 => Just(ALL_ROUTERS),
        1 => Just(wire::server_link_local(PRIMARY)),
        1 => Just(link_local(Flags::default(), CLIENT)),
        1 => any::<u128>().prop_map(Ipv6Addr::from),
    ]
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let elements = (any::<Option<[u8; 8]>>(), proptest::option::of(outer()));
    let tail = prop::collection::vec(any::<u8>(), 0..80);
    (elements, inner(), inner(), any::<u8>(), 0..4, tail).prop_map(
        |((nonce, origin), source, destination, hop_limit, kind, tail)| {
            let mut bytes = Vec::new();
            if let Some(nonce) = nonce {
                Authentication::nonce_only(nonce).emit(&mut bytes);
            }
            if let Some(origin) = origin {
                Origin(origin).emit(&mut bytes);
            }
            match kind {
                0 => emit_bubble(source, destination, hop_limit, &mut bytes),
                1 => emit_echo_request(source, destination, hop_limit, 1, 2, &tail, &mut bytes),
                2 => emit_echo_reply(source, destination, hop_limit, 1, 2, &tail, &mut bytes),
                _ => emit_router_solicitation(source, &mut bytes),
            }
            bytes.extend_from_slice(&tail);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// R4380-7.4-01, R4380-7.4.2-01, R4380-7.4.3-01, L-01: for any input, the output is a datagram to a permitted
    /// address other than the server's, is not much longer than the input, and has no answer when it is sent to the
    /// server again.
    #[test]
    fn nothing_harmful_leaves(
        packets in prop::collection::vec((outer(), prop_oneof![Just(PRIMARY), Just(SECONDARY)], datagram()), 1..8),
    ) {
        let mut server = server();
        for (from, local, bytes) in packets {
            let Ok(sent) = receive(&mut server, from, local, &bytes) else { continue };
            if sent.to == INTERNET {
                let source = Ipv6Packet::parse(&sent.bytes).unwrap().source();
                prop_assert_eq!(TeredoAddress::from_ipv6(source).map(|source| source.mapped), Some(from));
                prop_assert!(sent.bytes.len() <= bytes.len());
                continue;
            }
            prop_assert!(server.config().destinations.permits(sent.to));
            prop_assert!(sent.to.ip() != &PRIMARY && sent.to.ip() != &SECONDARY);
            let datagram = Datagram::parse(&sent.bytes).unwrap();
            prop_assert!(datagram.origin.is_none_or(|origin| origin == Origin(from)));
            let received = Datagram::parse(&bytes).unwrap();
            if let Ok(Icmpv6::RouterAdvertisement(_)) = Icmpv6::parse(&datagram.packet) {
                prop_assert_eq!(sent.to, from);
                let nonce = received.authentication.map(|element| element.nonce);
                prop_assert_eq!(datagram.authentication.map(|element| element.nonce), nonce);
            } else {
                prop_assert!(sent.bytes.len() <= bytes.len() + Origin::LEN);
                prop_assert_eq!(datagram.authentication, None);
            }
            let own = SocketAddrV4::new(PRIMARY, PORT);
            prop_assert!(receive(&mut server, own, PRIMARY, &sent.bytes).is_err());
        }
    }

    /// R4380-5.3-01: earlier datagrams change nothing.
    #[test]
    fn stateless(
        history in prop::collection::vec((outer(), datagram()), 0..8),
        from in outer(),
        bytes in datagram(),
    ) {
        let mut seasoned = server();
        for (from, bytes) in &history {
            let _ = receive(&mut seasoned, *from, PRIMARY, bytes);
        }
        let outcome = receive(&mut seasoned, from, PRIMARY, &bytes);
        prop_assert_eq!(outcome, receive(&mut server(), from, PRIMARY, &bytes));
    }

    #[test]
    fn no_bytes_panic(from in outer(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = receive(&mut server(), from, PRIMARY, &bytes);
    }
}

/// R4380-5.3-01: a hundred thousand clients take no more memory than one.
#[test]
fn no_memory_per_client() {
    let mut server = server();
    let bytes = solicitation(Flags::default());
    let room = server.buffer_len();
    let mut buffer = vec![0; room];
    for client in 0..100_000u32 {
        let from = SocketAddrV4::new(Ipv4Addr::from(0x0b00_0000 + client), 4096);
        buffer[..bytes.len()].copy_from_slice(&bytes);
        let answer = server.answer_in_place(NOW, from, PRIMARY, &mut buffer, bytes.len());
        assert!(answer.is_ok());
    }
    assert_eq!(server.buffer_len(), room);
    assert_eq!(server.counters().advertisements, 100_000);
}
