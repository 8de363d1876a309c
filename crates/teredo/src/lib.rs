//! The Teredo protocol: IPv6 for hosts behind IPv4 NATs (RFC 4380, with the security updates of RFC 5991).
//!
//! This crate holds the wire formats and the state machines, and nothing else. It opens no socket, asks no
//! clock and draws no random number: time, seed and bytes are arguments. The same code therefore runs in the
//! daemon, in the simulator and under the fuzzer.
//!
//! ```text
//!  UDP datagram ──> handle_udp ─┐                      ┌─> Reception::Deliver ──> the host's IPv6 stack
//!  IPv6 packet  ──> handle_tun ─┼─> Client, Server or ─┼─> Submission::Send   ──> UDP
//!  time         ──> handle_timeout ┘    Relay          ├─> poll_transmit: bubbles, solicitations, queued packets
//!                                                      ├─> poll_event: address up, address down, state
//!                                                      └─> poll_timeout: when, and why
//! ```
//!
//! # One contract: mutate, drain, wait
//!
//! [`Client`], [`Server`] and [`Relay`] have the same methods. After **every** call that takes `&mut self` and `now`,
//! call `poll_transmit` and `poll_event` until both return `None`. Then wait for new input or for the instant that
//! `poll_timeout` names, whichever is earlier. A caller that keeps to it keeps packets in order.
//!
//! ```
//! use std::net::{Ipv4Addr, SocketAddrV4};
//! use teredo::{Client, ClientConfig, Destination, Instant, Node, ServerAddress};
//!
//! let now = Instant::from_nanos(0);
//! let mut client = Client::new(ClientConfig::default(), [7; 32], now);
//! let server = ServerAddress::adjacent(Ipv4Addr::new(203, 0, 113, 120));
//! client.start(now, SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50_000), &[server]);
//!
//! let mut bytes = Vec::new();
//! let mut solicited = Vec::new();
//! while let Some(transmit) = client.poll_transmit(&mut bytes) {
//!     if let Destination::Udp(to) = transmit.destination {
//!         solicited.push(*to.ip());
//!     }
//! }
//! // Both addresses at once: one round trip gives the mapping and the kind of NAT.
//! assert_eq!(solicited, [server.primary, server.secondary]);
//! ```
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`wire`] | the bytes: addresses, authentication, origin indication, bubble, trailers, the IPv6 and ICMPv6 that is needed |
//! | [`client`] | qualification, maintenance, reception, transmission, peers |
//! | [`server`] | the stateless server |
//! | [`relay`] | relay and host-specific relay, with room for millions of peers |
//! | [`policy`] | IPv4 addresses that nothing may be sent to |
//!
//! Deliberate departures from an RFC are marked `DEVIATION(` in the code.

#![forbid(unsafe_code)]

pub mod client;
mod credentials;
mod drop;
mod limit;
mod node;
mod outbox;
pub mod policy;
pub mod relay;
pub mod server;
mod slots;
mod time;
pub mod wire;

pub use client::{Client, ClientConfig, ServerAddress};
pub use credentials::{Credentials, Identifier, Keyring, KnownClient, KnownClients};
pub use drop::{DropCounters, DropReason};
pub use node::{Destination, Node, Reception, Submission, Transmit};
pub use relay::{Prefix, Relay, RelayConfig};
pub use server::{Server, ServerConfig};
pub use time::{Instant, Timer};
