//! The path of known peers in the Linux kernel, for a Teredo client or relay (RFC 4380).
//!
//! Five eBPF programs carry packets between a TUN interface and the IPv4 Internet: one encapsulates, one decapsulates, two
//! watch that the IPv4 stack lets the peer's datagrams pass, and one that user space delivers what was left to it. In doubt each leaves the packet as it is, so that user space
//! handles it. `docs/kernel-path.md` in the repository explains the design, and what it does not cover.
//!
//! ```no_run
//! use std::net::UdpSocket;
//! use teredo_bpf::{Entry, Path, Settings, Side, now};
//!
//! let service = UdpSocket::bind("192.0.2.1:40000")?;
//! let mut path = Path::load(Settings::default())?;
//! let interfaces = path.attach(&service, "teredo0", "eth0")?;
//! path.open()?;
//!
//! // A peer has proven its path to the state machine:
//! let side = Side::Client("2001:0:c000:22d:0:63bf:3fff:fdfe".parse()?);
//! let (local, remote) = ("192.0.2.1:40000".parse()?, "198.51.100.1:4096".parse()?);
//! let entry = Entry::new(side, local, remote, interfaces, now());
//! path.insert("2001:0:c000:22d:0:efff:39cc:9bfe".parse()?, &entry)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`probe`] finds out whether this host can have such a path, and says why not.
//!
//! It takes Linux 6.6, CAP_BPF and CAP_NET_ADMIN.
//!
//! [`PortMap`] is apart from the path: it shows the port of a node to the eBPF firewalls of the host.

#![forbid(unsafe_code)]

mod bytes;
mod entry;
mod error;
mod hooks;
mod loader;
mod outcome;
mod path;
mod port_map;
mod probe;
mod server;

pub use entry::{Entry, Interfaces, Side, Traffic};
pub use error::PathError;
pub use hooks::Hooks;
pub use outcome::{Outcome, Outcomes};
pub use path::{Path, Settings, now, wait_for_programs};
pub use port_map::{PORT_LEASE, PORT_MAP, PortMap, PortMapError, ShownPort};
pub use probe::{Direction, ProbeError, Probed, probe};
pub use server::{
    ADVERTISEMENT_LEN, Advertisement, Answered, AttachedTo, BUCKETS, BucketLimit, MOST_PAIRS,
    MOST_SOURCES, Mode, Server, ServerOutcome, Serving, Source,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
