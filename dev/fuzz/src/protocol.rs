//! The targets of the crate `teredo`.

pub mod address;
pub mod authentication;
pub mod client;
pub mod datagram;
pub mod icmpv6;
pub mod ipv6;
pub mod origin;
pub mod relay;
pub mod server;
pub mod trailer;
