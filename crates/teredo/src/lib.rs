//! The Teredo protocol: IPv6 for hosts behind IPv4 NATs (RFC 4380, with the security updates of RFC 5991).
//!
//! This crate holds the wire formats and the state machines of client, server and relay. It does no I/O: time, seed
//! and bytes are arguments. The same code therefore runs in the daemon, in the simulator and under the fuzzer.
//!
//! # Client and relay: mutate, drain, wait
//!
//! [`Client`] and [`Relay`] implement [`Node`]:
//!
//! ```text
//!  a datagram arrived       handle_udp     ─┐              ┌─ poll_transmit   what to send, until None
//!  the host sends a packet  handle_tun     ─┼─> mutate ──> ├─ poll_event      what happened, until None
//!  a timer expired      handle_timeout ─┘              └─ poll_timeout    when to call again, and why
//! ```
//!
//! After **every** call that takes `now`, the caller drains both queues. Then it waits for input or for the instant of
//! `poll_timeout`, whichever comes first. Packets of a known peer skip the queue: `handle_udp` returns a slice of the
//! datagram ([`Reception::Deliver`]), and `handle_tun` returns an address ([`Submission::Send`]).
//!
//! A [`Server`] has no state to drain. It [answers in place](Server::answer_in_place).
//!
//! # Example
//!
//! A client gets its Teredo address. Between client and server is a NAT; the first two datagrams are lost.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::net::{Ipv4Addr, SocketAddrV4};
//!
//! use teredo::client::Event;
//! use teredo::server::Answer;
//! use teredo::wire::{PORT, TeredoAddress};
//! use teredo::{Client, ClientConfig, Destination, Instant, Node, Server, ServerAddress, ServerConfig};
//!
//! let address = ServerAddress::adjacent(Ipv4Addr::new(203, 0, 113, 120));
//! let mut server = Server::new(ServerConfig::new(address), [1; 32]);
//!
//! let local: SocketAddrV4 = "192.168.1.2:50000".parse()?;
//! let mapped: SocketAddrV4 = "192.0.2.1:4096".parse()?;
//! let mut now = Instant::from_nanos(0);
//! let mut client = Client::new(ClientConfig::default(), [2; 32], now);
//! client.start(now, local, &[address]);
//!
//! let mut answers = VecDeque::new();
//! let mut lost = 2;
//! let teredo = loop {
//!     // Drain.
//!     let mut buffer = Vec::new();
//!     while let Some(transmit) = client.poll_transmit(&mut buffer) {
//!         let Destination::Udp(to) = transmit.destination else { continue };
//!         if lost > 0 {
//!             lost -= 1;
//!         } else {
//!             buffer.resize(server.buffer_len(), 0);
//!             let answer = server.answer_in_place(now, mapped, *to.ip(), &mut buffer, transmit.len)?;
//!             if let Answer::Udp { source, len, .. } = answer {
//!                 answers.push_back((SocketAddrV4::new(source, PORT), buffer[..len].to_vec()));
//!             }
//!         }
//!         buffer.clear();
//!     }
//!     let mut up = None;
//!     while let Some(event) = client.poll_event() {
//!         if let Event::AddressUp { address, .. } = event {
//!             up = Some(address);
//!         }
//!     }
//!     if let Some(address) = up {
//!         break address;
//!     }
//!     // Wait for a datagram or for the next deadline.
//!     if let Some((from, datagram)) = answers.pop_front() {
//!         let _ = client.handle_udp(now, from, *local.ip(), &datagram);
//!     } else if let Some((deadline, _)) = client.poll_timeout() {
//!         now = deadline;
//!         client.handle_timeout(now);
//!     }
//! };
//! assert_eq!(now, Instant::from_nanos(4_000_000_000), "the solicitations were repeated after 4 s");
//! assert_eq!(TeredoAddress::from_ipv6(teredo).map(|teredo| teredo.mapped), Some(mapped));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`wire`] | the bytes: addresses, authentication, origin indication, trailers, and the parts of IPv6 and ICMPv6 that Teredo uses |
//! | [`client`] | qualification, maintenance, reception, transmission, peers |
//! | [`server`] | the stateless server |
//! | [`relay`] | relay and host-specific relay, with room for millions of peers |
//! | [`policy`] | IPv4 addresses that must not be sent to, and IPv6 networks that are not carried |
//!
//! Deliberate departures from an RFC are marked `DEVIATION(` in the code.

#![forbid(unsafe_code)]

pub mod client;
mod credentials;
mod drop;
mod limit;
mod node;
mod outbox;
mod paths;
pub mod policy;
mod prefix;
pub mod relay;
pub mod server;
mod slots;
mod time;
pub mod wire;

pub use client::{Client, ClientConfig, ServerAddress};
pub use credentials::{Credentials, Identifier, Keyring, KnownClient, KnownClients};
pub use drop::{DropCounters, DropReason};
pub use node::{
    Destination, IcmpError, IcmpErrorKind, Node, PathChange, PeerPath, Reception, Submission,
    Transmit,
};
pub use prefix::{Prefix, PrefixError};
pub use relay::{Relay, RelayConfig};
pub use server::{Server, ServerConfig};
pub use time::{Instant, Timer};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
