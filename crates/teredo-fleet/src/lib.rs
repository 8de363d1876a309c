//! The UDP ports of a fleet of Teredo hosts, for firewalls that do not run on these hosts.
//!
//! Each host keeps its state in a bucket of NATS JetStream as a lease, and each firewall at the perimeter keeps a set of
//! nftables in step with the bucket. Both parts trust little: what a host does not renew ends, in the bucket and in the
//! kernel, and a host can write its own key alone.
//!
//! ```text
//!  host                       cluster of NATS                 perimeter
//!  ┌──────────────────────┐   ┌─────────────────────┐   ┌──────────────────────────┐
//!  │ node ──> Publisher ──────> bucket teredo_ports ──────> Perimeter ──> nftables │
//!  └──────────────^───────┘   └─────────────────────┘   └──────┬───────────────────┘
//!                 └──────────── confirmed ─────────────────────┘
//! ```
//!
//! | file | |
//! |---|---|
//! | `key.rs`, `entry.rs` | what the bucket holds: a key a host, [`Entry`] as its value |
//! | `ledger.rs`, `boot.rs`, `clock.rs`, `delay.rs`, `grants.rs` | what a perimeter makes of it, without I/O |
//! | `confirm.rs` | what a perimeter tells a host |
//! | `servers.rs`, `turns.rs`, `cause.rs`, `bucket.rs`, `peek.rs`, `doubt.rs` | NATS, whose turn it is, why there is no connection, and when one is given up |
//! | `publisher.rs`, `entry_clock.rs`, `details.rs` | the host's side |
//! | `perimeter.rs`, `patience.rs`, `stall.rs`, `troubles.rs` | the firewall's side |
//! | `wait.rs` | waits of both sides |
//! | `account.rs` | the configuration of nats-server |

#![forbid(unsafe_code)]

mod account;
mod boot;
mod bucket;
mod cause;
mod clock;
mod confirm;
mod delay;
mod details;
mod doubt;
mod entry;
mod entry_clock;
mod grants;
mod key;
mod ledger;
mod patience;
mod peek;
mod perimeter;
mod publisher;
mod servers;
mod stall;
mod troubles;
mod turns;
mod wait;

/// The target of lines about a new state of this node. The program's limit of repetitions knows it.
const STATE: &str = "teredo::state";

pub use account::{FleetRole, SeedError, User, account};
pub use bucket::{BUCKET, BucketError, MAX_BYTES, create_bucket};
pub use clock::ServerClock;
pub use confirm::{CONFIRMATION_SCHEMA, Confirmation};
pub use entry::{Entry, EntryError, MAX_ENTRY, SCHEMA};
pub use grants::{Grant, Grants, ParseGrantError};
pub use key::{HostKey, MAX_KEY, ParseKeyError};
pub use ledger::{HostState, Learnt, Ledger, MAX_HOSTS, News, Refusal, Terms};
pub use perimeter::{Perimeter, PerimeterConfig, PerimeterError, PerimeterStatus};
pub use publisher::{
    DEFAULT_LEASE, Publisher, PublisherConfig, PublisherError, PublisherStatus, SHORTEST_LEASE,
};
pub use servers::{ConnectError, ParseUrlError, Servers, Urls};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
