//! A relay between the IPv6 Internet and a Teredo client, packet by packet: `cargo run -p teredo --example relay`.
//!
//! The relay knows nothing of the client at first. It queues the packet, asks the client for a bubble through the
//! client's server, and releases the packet when the client answers. Later packets go straight through.

#![allow(clippy::disallowed_macros, reason = "an example prints what it does")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::relay::Served;
use teredo::wire::{
    Datagram, Flags, TeredoAddress, emit_bubble, emit_echo_reply, emit_echo_request,
};
use teredo::{Destination, Instant, Node, Reception, Relay, RelayConfig, Submission};

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 4545);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const CLIENT: TeredoAddress = TeredoAddress {
    server: Ipv4Addr::new(203, 0, 113, 120),
    flags: Flags::from_random(0x1234),
    mapped: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4096),
};

fn main() {
    let mut now = Instant::from_nanos(0);
    let config = RelayConfig::new(RELAY, Served::Networks(Vec::new()));
    // A real seed must be unpredictable.
    let mut relay = Relay::new(config, [7; 32]);

    let ping = |sequence| {
        let mut packet = Vec::new();
        emit_echo_request(
            NATIVE,
            CLIENT.to_ipv6(),
            64,
            1,
            sequence,
            b"hello",
            &mut packet,
        );
        packet
    };
    println!("the IPv6 Internet sends a ping to {CLIENT}");
    let submission = relay.handle_tun(now, &ping(1));
    assert_eq!(submission, Submission::Queued);
    let sent = drain(&mut relay);

    println!("the bubble is lost, and repeated when its time is up");
    let (deadline, timer) = relay.poll_timeout().expect("the bubble has a deadline");
    println!("  {timer}: after {:?}", deadline - now);
    now = deadline;
    relay.handle_timeout(now);
    assert_eq!(drain(&mut relay).len(), sent.len());

    println!("the client answers the bubble");
    let asked_from = Datagram::parse(&sent[0]).expect("a bubble").packet.source();
    let mut answer = Vec::new();
    emit_bubble(CLIENT.to_ipv6(), asked_from, 255, &mut answer);
    let reception = relay.handle_udp(now, CLIENT.mapped, *RELAY.ip(), &answer);
    assert_eq!(reception, Reception::Consumed);
    assert_eq!(drain(&mut relay), [ping(1)]);

    println!("packets go straight through in both directions");
    now += Duration::from_secs(1);
    let submission = relay.handle_tun(now, &ping(2));
    assert_eq!(submission, Submission::Send(CLIENT.mapped));
    let mut pong = Vec::new();
    emit_echo_reply(CLIENT.to_ipv6(), NATIVE, 64, 1, 2, b"hello", &mut pong);
    let reception = relay.handle_udp(now, CLIENT.mapped, *RELAY.ip(), &pong);
    assert_eq!(reception, Reception::Deliver(&pong));
    println!("{:?}", relay.counters());
}

/// Prints and returns all that the relay wants to send.
fn drain(relay: &mut Relay) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut bytes = Vec::new();
    while let Some(transmit) = relay.poll_transmit(&mut bytes) {
        let datagram = std::mem::take(&mut bytes);
        if let (Destination::Udp(to), Ok(parsed)) =
            (transmit.destination, Datagram::parse(&datagram))
        {
            println!("  to {to}: {parsed}");
        }
        sent.push(datagram);
    }
    sent
}
