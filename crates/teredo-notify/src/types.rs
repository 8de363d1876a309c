//! The JSON contracts: [`Status`] (`teredo.status/1`) and [`Event`] (`teredo.event/1`).
//!
//! Fields are added, never changed or removed. A reader skips unknown fields, and takes a missing one as empty.

mod event;
mod peer;
mod status;

pub use event::{Detail, EVENT_SCHEMA, Event, EventName, PortKind, UnknownEventName, rfc3339};
pub use peer::{MAX_PEERS, Peer, PeerState};
pub use status::{
    CarriedPackets, Carrier, Counters, DataPath, FLEET_BACKEND, FirewallStatus, GatewayStatus,
    Lane, Limited, NatBehaviour, Notifications, Pair, Peers, Phase, PortChanges, Role,
    STATUS_SCHEMA, Status,
};

#[cfg(test)]
mod tests;
