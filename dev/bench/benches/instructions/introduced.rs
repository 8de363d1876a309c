//! A relay to which clients were introduced, by the packets that do so.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use teredo::relay::Served;
use teredo::wire::{Flags, TeredoAddress, emit_bubble, emit_echo_request};
use teredo::{Instant, Node, Relay, RelayConfig, Submission};

pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
pub(crate) const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
/// RFC 2544's network for benchmarks.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const CLIENT_BITS: u32 = 17;
const SERVERS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);

/// When everything happens.
pub(crate) fn now() -> Instant {
    Instant::from_nanos(1 << 40)
}

/// A relay to which so many clients were introduced.
pub(crate) fn fill(count: usize) -> Result<Relay> {
    let service = SocketAddrV4::new(RELAY, 3545);
    let mut config = RelayConfig::new(service, Served::Networks(Vec::new()));
    config.max_peers = count;
    // They all come at the same instant.
    config.bubbles_per_server = u32::MAX;
    config.bubbles_per_second = u32::MAX;
    let mut relay = Relay::new(config, [7; 32]);
    let (mut packet, mut bytes) = (Vec::new(), Vec::new());
    for number in 0..count {
        let client = client(number);
        write(client, &mut packet);
        let submission = relay.handle_tun(now(), &packet);
        ensure!(
            submission == Submission::Queued,
            "client {number}: {submission:?}"
        );
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("no bubble")?;
        let token = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24])?);
        bytes.clear();
        emit_bubble(client.to_ipv6(), token, 255, &mut bytes);
        let _ = relay.handle_udp(now(), client.mapped, RELAY, &bytes);
        bytes.clear();
        let _ = relay.poll_transmit(&mut bytes).context("not introduced")?;
    }
    let status = relay.status();
    ensure!(status.trusted_peers == count, "{status:?}");
    Ok(relay)
}

/// The packet for a client: 64 bytes.
pub(crate) fn write(client: TeredoAddress, packet: &mut Vec<u8>) {
    packet.clear();
    emit_echo_request(NATIVE, client.to_ipv6(), 64, 1, 2, &[0x5a; 16], packet);
}

/// The client of that number.
pub(crate) fn client(number: usize) -> TeredoAddress {
    let number = number as u32;
    let host = number & ((1 << CLIENT_BITS) - 1);
    TeredoAddress {
        server: Ipv4Addr::from(SERVERS.to_bits() + 1 + number % 250),
        flags: Flags::default(),
        mapped: SocketAddrV4::new(
            Ipv4Addr::from(CLIENTS.to_bits() + host),
            4096 + (number >> CLIENT_BITS) as u16,
        ),
    }
}
