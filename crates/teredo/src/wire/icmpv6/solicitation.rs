//! Router solicitations (RFC 4861 §4.1, §6.1.1).

use std::fmt;
use std::net::Ipv6Addr;

use super::super::ParseError;
use super::advertisement::Options;
use super::{ND_HOP_LIMIT, ROUTER_SOLICITATION, emit_message, truncated};

/// Where router solicitations go: all routers on the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;

/// A router solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterSolicitation<'a> {
    /// The options; a Teredo link has none, and none is looked at.
    pub options: &'a [u8],
}

impl<'a> RouterSolicitation<'a> {
    pub(super) fn parse(source: Ipv6Addr, body: &'a [u8]) -> Result<Self, ParseError> {
        let (_reserved, options) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| truncated(8, body))?;
        for option in Options(options) {
            let (kind, _) = option?;
            if kind == SOURCE_LINK_LAYER_ADDRESS && source.is_unspecified() {
                return Err(ParseError::NeighborDiscoverySource);
            }
        }
        Ok(Self { options })
    }
}

impl fmt::Display for RouterSolicitation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "router solicitation, length {}", 8 + self.options.len())
    }
}

/// Appends a router solicitation to [`ALL_ROUTERS`]: 48 bytes (R4380-5.2.1-02).
pub fn emit_router_solicitation(source: Ipv6Addr, out: &mut Vec<u8>) {
    emit_message(
        [source, ALL_ROUTERS],
        ND_HOP_LIMIT,
        [ROUTER_SOLICITATION, 0],
        out,
        |out| {
            out.extend_from_slice(&[0; 4]);
        },
    );
}
