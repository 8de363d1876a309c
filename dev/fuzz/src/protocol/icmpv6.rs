//! Any ICMPv6 message with a valid checksum, between any two nodes.

use std::net::Ipv6Addr;

use arbitrary::Arbitrary;
use teredo::wire::{
    Icmpv6, Ipv6Header, Ipv6Packet, checksum, emit_echo_reply, emit_echo_request,
    emit_packet_too_big, emit_unreachable, may_be_answered_with_error, protocol,
};

#[derive(Arbitrary, Debug)]
pub struct Input {
    source: Source,
    destination: u128,
    neighbor_discovery: bool,
    hop_limit: u8,
    message: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Source {
    LinkLocal(u64),
    Any(u128),
}

/// Runs the target with one input.
pub fn run(input: Input) {
    let source = match input.source {
        Source::LinkLocal(identifier) => Ipv6Addr::from(0xfe80 << 112 | u128::from(identifier)),
        Source::Any(bits) => Ipv6Addr::from(bits),
    };
    let destination = Ipv6Addr::from(input.destination);
    let hop_limit = if input.neighbor_discovery {
        255
    } else {
        input.hop_limit
    };
    let mut message = input.message;
    message.truncate(usize::from(u16::MAX));
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
        let sum = checksum(source, destination, protocol::ICMPV6, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }

    let mut bytes = Vec::new();
    Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_length: message.len() as u16,
        next_header: protocol::ICMPV6,
        hop_limit,
        source,
        destination,
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(&message);
    let packet = Ipv6Packet::parse(&bytes).expect("it was made as one");
    let _ = packet.to_string();

    let mut again = Vec::new();
    match Icmpv6::parse(&packet) {
        Ok(Icmpv6::RouterAdvertisement(advertisement)) => {
            advertisement.emit(source, destination, &mut again);
            let again = Ipv6Packet::parse(&again).expect("what is emitted is a packet");
            assert_eq!(
                Icmpv6::parse(&again),
                Ok(Icmpv6::RouterAdvertisement(advertisement))
            );
        }
        Ok(Icmpv6::EchoRequest {
            identifier,
            sequence,
            data,
        }) if message[1] == 0 => {
            emit_echo_request(
                source,
                destination,
                hop_limit,
                identifier,
                sequence,
                data,
                &mut again,
            );
            assert_eq!(again, bytes);
        }
        Ok(Icmpv6::EchoReply {
            identifier,
            sequence,
            data,
        }) if message[1] == 0 => {
            emit_echo_reply(
                source,
                destination,
                hop_limit,
                identifier,
                sequence,
                data,
                &mut again,
            );
            assert_eq!(again, bytes);
        }
        _ => {}
    }

    for emit in [emit_error, emit_too_big] {
        let mut error = Vec::new();
        let emitted = emit(destination, source, &bytes, &mut error);
        assert_eq!(emitted, may_be_answered_with_error(&bytes));
        assert_eq!(emitted, !error.is_empty());
        assert!(error.len() <= 1280);
        if emitted {
            let error = Ipv6Packet::parse(&error).expect("what is emitted is a packet");
            assert!(Icmpv6::parse(&error).is_ok());
            assert!(
                !may_be_answered_with_error(error.as_bytes()),
                "no error about an error"
            );
        }
    }
}

fn emit_error(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    offending: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    emit_unreachable(source, destination, 3, offending, out)
}

fn emit_too_big(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    offending: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    emit_packet_too_big(source, destination, 1280, offending, out)
}
