//! What the fuzz targets do, without the fuzzer: the tests of `teredo` include this file and replay the kept inputs.

#![forbid(unsafe_code)]

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
