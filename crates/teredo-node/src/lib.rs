//! A whole Teredo client or relay as one value: tunnel, interface, control loop, server names and status. The program
//! `teredo` is a node, a local service and its narration; any other program can be a client or relay without a daemon.
//! A node needs CAP_NET_ADMIN, and a tokio runtime.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use teredo_node::Client;
//!
//! let client = Client::builder("teredo.example.net").start().await?;
//! let registration = client.hub().register(true, |n| println!("{:?}: {}", n.kind, n.state.port))?;
//! println!("address {:?}", client.qualified().await);
//! client.rebind(None).await?;
//! client.shutdown().await?;
//! # drop(registration);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!  ClientBuilder ─ prepare ─> PreparedClient ─ start ─> Client ── rebind, stop, start ──┐
//!                 interface                    port       │ hub: the port               v
//!    callbacks, service <── Hub <── HubAnnouncer <──────────────────── ClientHandle (the data path)
//!                                                                        │ events     ^ names, network, native IPv6
//!                        state, status <── control loop (a task) <───────┘            │
//!                                              └──> Interface: address and routes     └── control loop
//! ```
//!
//! Callbacks at the [`Hub`] hear of every port before the first datagram leaves from it. A callback that must act first
//! registers as a gate ([`Hub::register_gate`]), and the node waits for it (N-16).

#![forbid(unsafe_code)]

mod announcer;
mod client;
mod control;
mod gates;
mod kernel;
mod keys;
mod names;
mod port_map;
mod protection;
mod relay;
mod rules;
mod start;
mod status;
mod upkeep;

pub use client::{Client, ClientBuilder, Connectivity, Predecessor, PreparedClient};
pub use control::{NodeControl, Requests, control};
pub use keys::ServerKeys;
pub use names::ServerName;
pub use port_map::PortInMap;
pub use protection::Protection;
pub use relay::{DEFAULT_RELAY_PORT, PreparedRelay, Relay, RelayBuilder};
pub use rules::RulesWatch;
pub use start::{RunError, StartError, retry_briefly};

#[cfg(feature = "igd")]
pub use teredo_gateway;
pub use {teredo, teredo_bpf, teredo_notify, teredo_tunnel};

#[cfg(doc)]
use teredo_notify::hub::Hub;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
