//! A deterministic internet for the Teredo state machines: virtual clock, links, NATs in RFC 4787 terms, hosts.
//!
//! The simulator does no I/O, and has no clock and no randomness of its own. A [`World`] is made from a seed; the same
//! seed and the same calls give the same datagrams at the same virtual times, byte for byte. Hours pass in
//! milliseconds. A failed run can be read as text ([`Capture`]'s `Display`), in Wireshark ([`Capture::to_pcap`]) and as
//! a ladder diagram ([`Evidence`]), and leaves all of them if its test wants so ([`World::when_failed`]).
//!
//! ```
//! use std::time::Duration;
//! use teredo::ServerAddress;
//! use teredo_sim::{NatBehaviour, World};
//!
//! let mut world = World::new(7);
//! let server = ServerAddress::adjacent([192, 0, 2, 1].into());
//! world.add_server(server);
//!
//! let home = world.add_nat(NatBehaviour::restricted(), [203, 0, 113, 5]);
//! let client = world.add_client(home, "192.168.1.2:50000".parse()?, &[server]);
//! world.run_for(Duration::from_secs(3_600));
//! assert!(world.client(client).client().status().address.is_some());
//!
//! world.nat_mut(home).forget(); // the router restarts
//! world.link_mut(client).loss = 0.2; // and the radio is bad
//! world.run_for(Duration::from_secs(3_600));
//! print!("{}", world.capture());
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `world` | [`World`]: networks, the passage of time, controls; [`Observer`]; the border to other worlds |
//! | `host` | [`ClientHost`], [`ServerHost`] and [`RelayHost`] run the state machines; tests control a [`RawHost`] |
//! | [`teredo_nat`] | [`Nat`], [`NatBehaviour`]: mapping, filtering, pools, ports, lifetime, hairpinning; [`Igd`] |
//! | `oracle` | [`path`]: which pairs of NATs can be connected at all |
//! | `link` | [`Link`], [`LinkQuality`]: delay, jitter, loss, duplication, reordering, rate, MTU |
//! | `icmp` | [`IcmpError`]: the errors that routers and hosts send back |
//! | `capture` | [`Capture`], [`CaptureMode`]: every datagram and its [`Fate`], and a hash of the run |
//! | `schedule` | [`Schedule`]: the queue of events |
//! | [`packet`] | packets of the programs on hosts |

#![forbid(unsafe_code)]

mod capture;
mod datagram;
mod host;
mod icmp;
mod link;
mod oracle;
pub mod packet;
mod random;
mod schedule;
mod world;

use teredo_nat::{self as nat, table};

pub use capture::{Capture, CaptureMode, Fate, Notice, Record, Vantage};
pub use datagram::Datagram;
pub use host::{
    Arrival, ClientHost, ClientId, HostId, Outbox, PortFirewall, RawHost, RawId, RelayHost,
    RelayId, ServerHost, ServerId, Stamped,
};
pub use icmp::{IcmpError, IcmpKind, Quotation};
pub use link::{Direction, Link, LinkQuality, Passage, Size};
pub use nat::{
    Filtering, HairpinSource, Igd, IgdFailure, Mapping, Nat, NatBehaviour, Pooling, PortAssignment,
    PortRange, Refusal,
};
pub use oracle::{Possibility, path};
pub use schedule::Schedule;
pub use world::{Evidence, NatId, Network, Observer, World};
