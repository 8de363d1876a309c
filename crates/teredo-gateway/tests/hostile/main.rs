//! Routers on loopback that lie, hang, answer with the mapping of another host, or disappear; and one that is honest.
//! This host may have rules of its own, and neighbours.

#![allow(
    clippy::disallowed_methods,
    reason = "these sockets have no timeout, so nothing interrupts them"
)]

mod host;
mod pcp;
mod router;
mod upnp;
