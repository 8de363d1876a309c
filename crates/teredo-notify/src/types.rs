//! The JSON contracts: [`Status`] (`teredo.status/1`) and [`Event`] (`teredo.event/1`).
//!
//! Fields are added, never changed or removed. A reader skips the fields that it does not know, and
//! takes one that is missing as empty.

mod event;
mod status;
mod time;

pub use event::{Detail, EVENT_SCHEMA, Event, EventName, PortKind, UnknownEventName};
pub use status::{Counters, FirewallStatus, Peers, Phase, Role, STATUS_SCHEMA, Status};
pub use time::rfc3339;

#[cfg(test)]
mod tests;
