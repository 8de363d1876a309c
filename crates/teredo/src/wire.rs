//! The wire formats of Teredo (RFC 4380 §5.1.1, RFC 6081 §4): views that borrow, and builders that append.
//!
//! ```text
//!  UDP payload, most bytes optional                                                   Datagram
//!
//!  0         2     3     4                                                            Authentication
//!  +---------+-----+-----+------------+------------+-----------+--------------+
//!  | 00  01  |  I  |  A  | identifier |    value   |   nonce   | confirmation |       only between client
//!  |         |     |     |  I bytes   |  A bytes   |  8 bytes  |    1 byte    |       and server
//!  +---------+-----+-----+------------+------------+-----------+--------------+
//!                                                  \___________________________
//!                                                       what the value signs   \
//!  +---------+---------------+-----------------+                                \     Origin
//!  | 00  00  | port ^ ff..   | IPv4 ^ ff..     |   only from a server            |
//!  +---------+---------------+-----------------+                                 |
//!  +------+-------------------------------------------------------------------+  |    Ipv6Packet
//!  |  6.  |  IPv6 header (40 bytes), extension headers, ICMPv6 / UDP / TCP     | /     always
//!  +------+-------------------------------------------------------------------+
//!  +------+--------+-------+------+--------+-------+                                  Trailers
//!  | type | length | value | type | length | value |  ...   what RFC 6081 adds
//!  +------+--------+-------+------+--------+-------+
//! ```
//!
//! A `parse` checks everything that the type promises, and never panics; afterwards no accessor can fail. An `emit`
//! appends to a `Vec<u8>`. Every type prints itself in one line, in the style of `tcpdump`.
//!
//! ```
//! use teredo::wire::{Datagram, TeredoAddress, emit_bubble};
//!
//! let a = TeredoAddress::from_ipv6("2001:0:cb00:7178:0:efff:3fff:fdfe".parse()?).unwrap();
//! let b = TeredoAddress::from_ipv6("2001:0:c633:6476:0:dfff:3fff:fdf5".parse()?).unwrap();
//! assert_eq!(a.to_string(), "server 203.0.113.120, mapped 192.0.2.1:4096, flags 0x0000");
//!
//! let mut payload = Vec::new();
//! emit_bubble(a.to_ipv6(), b.to_ipv6(), 255, &mut payload);
//! let datagram = Datagram::parse(&payload)?;
//! assert!(datagram.packet.is_bubble());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod authentication;
mod datagram;
mod ecn;
mod error;
mod icmpv6;
mod ipv6;
mod trailer;

pub use address::{
    DISCOVERY, Flags, MTU, OBSOLETE_PREFIX, PORT, SERVICE_PREFIX, TeredoAddress, is_global_unicast,
    is_obsolete_teredo, is_teredo, link_local, link_local_flags, server_link_local, server_prefix,
};
pub(crate) use address::{is_global, is_unicast};
pub use authentication::{Authentication, MAC_LEN, Secret};
pub use datagram::{Datagram, Origin};
pub use ecn::Ecn;
pub use error::ParseError;
pub use icmpv6::{
    ALL_ROUTERS, ECHO_REPLY, ECHO_REQUEST, Icmpv6, PrefixInformation, ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION, RouterAdvertisement, RouterSolicitation, emit_echo_reply,
    emit_echo_request, emit_packet_too_big, emit_router_solicitation, emit_unreachable,
    may_be_answered_with_error, unreachable,
};
pub use ipv6::{
    Fragment, Ipv6Header, Ipv6Packet, Routing, UpperLayer, checksum, emit_bubble, protocol,
    set_hop_limit,
};
pub use trailer::{AlternateAddresses, Trailer, Trailers};

#[cfg(test)]
mod tests;
