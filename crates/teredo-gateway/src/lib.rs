//! A UDP port on the router of a home network: asked for by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP (RFC 6081 §5.3),
//! renewed, moved with the port, and taken back at the end.
//!
//! ```text
//!  owner ── want(port, router) ──> Gateway: a thread ── task ──> PCP, NAT-PMP, UPnP ──> router
//!    ^                                │   Keeper: what to do next, without I/O
//!    └────────── state ───────────────┘   MappingStore: what to take back after a kill -9
//! ```
//!
//! The router is not trusted. Each question has a limit of time, no answer may be longer than a mebibyte, and a mapping
//! counts only if it is this host's and its external address can be one.

#![forbid(unsafe_code)]

mod ask;
mod judge;
mod keeper;
mod mapping;
mod pcp;
mod thread;
mod upnp;

pub use ask::Timeouts;
pub use keeper::State;
pub use mapping::{Mapping, MappingStore, Protocol, Refusal, Wanted};
pub use thread::Gateway;
