//! An internet on one machine: public hosts, home routers with any kind of NAT, and the hosts behind
//! them, each in a network namespace of its own.
//!
//! It serves three purposes: `teredo lab` shows the whole system on it, the end-to-end tests run on
//! it, and the benchmarks measure on it. The crate makes everything over netlink itself. Everything vanishes with the
//! last handle, even after a `kill -9`: namespaces, links, addresses and rules have no name in the file system.
//!
//! - [`Internet`] connects public [`Host`]s and [`Home`]s, whose routers have any [kind of NAT](NatKind).
//! - [`Process`] runs a program on a host. It captures the output, and dies with the lab.
//! - [`Capture`] keeps the frames of an interface and writes them for Wireshark.
//!
//! Processes are started by setpriv(1) and env(1), of util-linux and GNU coreutils, and
//! [`NatKind::Igd`] and [`NatKind::IgdSymmetric`] run miniupnpd.
//!
//! ```text
//!              host "server"                 host "v6"
//!        192.0.2.45, 192.0.2.46         2001:db8:6::1
//!                   │ eth0                   │ eth0
//!         to-server │                        │ to-v6
//!              ┌────┴────────────────────────┴────┐
//!              │  core: routes 192.0.2.0/24,      │   everything else is dropped in silence
//!              │  198.51.100.0/24, 203.0.113.0/24 │
//!              │  and 2001:db8::/32               │
//!              └────┬────────────────────────┬────┘
//!           to-left │                        │ to-right
//!                   │ uplink                 │ uplink
//!              198.51.100.1             203.0.113.1
//!            home "left" (NAT)        home "right" (NAT)
//!               192.168.1.1              192.168.2.1
//!                   │ lan (bridge)           │ lan (bridge)
//!              ┌────┴─────┐                  │
//!      to-alice│   to-anna│            to-bob│
//!              │ eth0     │ eth0             │ eth0
//!            alice       anna               bob
//!        192.168.1.2  192.168.1.3       192.168.2.2
//! ```
//!
//! The public addresses are the three documentation networks of RFC 5737 and the one of RFC 3849: a
//! lab cannot be mistaken for, or leak into, the real Internet.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//! use teredo_lab::{Internet, NatKind, Process};
//!
//! let internet = Internet::new()?;
//! let server = internet.host("server", &["192.0.2.45".parse()?, "192.0.2.46".parse()?])?;
//! let home = internet.home("home", NatKind::PortRestricted, "198.51.100.1".parse()?)?;
//! let alice = home.host("alice")?;
//!
//! let mut command = std::process::Command::new("teredo");
//! command.args(["client", "--server", "192.0.2.45"]);
//! let client = Process::spawn(alice.namespace(), "client", &mut command)?;
//! client.wait_for_line("qualified", Duration::from_secs(5))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rights
//!
//! Making a namespace needs `CAP_SYS_ADMIN`, and configuring it `CAP_NET_ADMIN`. Root has both; an
//! ordinary user gets them inside a user namespace with [`privilege::enter`], which `main` has to call
//! before anything else. `examples/two_homes.rs` does.

#![forbid(unsafe_code)]

mod cable;
mod capture;
mod core_router;
mod error;
mod home;
mod host;
mod igd;
mod internet;
mod link;
mod namespace;
mod nat;
mod netlink;
mod offload;
mod pcap;
mod ping;
pub mod privilege;
mod process;
mod receive;
mod router;
mod ruleset;
mod user_space;
mod wait;

pub use capture::{Capture, Frame, UdpDatagram};
pub use error::LabError;
pub use home::Home;
pub use host::Host;
pub use igd::Igd;
pub use internet::Internet;
pub use namespace::Namespace;
pub use nat::{HomeNat, HomeNatError, NatKind, UnknownNatKind};
pub use pcap::LinkType;
pub use ping::{Replies, ping};
pub use process::{Process, ProcessError};
pub use receive::Receive;
pub use user_space::{Discard, DiscardReason, Discards, Side};
pub use wait::{TimedOut, until};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
