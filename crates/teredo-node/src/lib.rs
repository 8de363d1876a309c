//! The whole Teredo client in a program of one's own, without a daemon: what `teredo client` is made of, as one
//! value. It takes CAP_NET_ADMIN, and a tokio runtime.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use teredo_node::Client;
//! use teredo_node::teredo::ServerAddress;
//!
//! let client = Client::builder(ServerAddress::adjacent("192.0.2.45".parse()?)).start().await?;
//! let registration = client.hub().register(true, |n| println!("{:?}: {}", n.kind, n.state.port))?;
//! println!("address {:?}", client.qualified().await);
//! client.rebind(None).await?;
//! client.shutdown().await;
//! # drop(registration);
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//!  Builder ── start ──> Client ── rebind, stop, start ──┐
//!                         │ hub: the port               v
//!    callbacks <──── Hub <── HubAnnouncer <── Engine (the data-path thread)
//!                                               │ events        ^ the network changed
//!                        state, qualified <── task of the runtime ──> Interface: address and routes
//! ```
//!
//! Callbacks at the [`Hub`] hear of every port before the first datagram leaves from it. One that has to act
//! first registers as a gate ([`Hub::register_gate`]), and is waited for (N-16).

#![forbid(unsafe_code)]

mod announce;
mod builder;
mod client;
mod driver;

pub use announce::HubAnnouncer;
pub use builder::{Builder, StartError};
pub use client::Client;
pub use driver::Connectivity;

pub use {teredo, teredo_notify, teredo_tunnel};

#[cfg(doc)]
use teredo_notify::hub::Hub;
