//! The host's network: the tunnel's interface, and what is watched of the rest.

pub mod interface;
pub mod watch;
