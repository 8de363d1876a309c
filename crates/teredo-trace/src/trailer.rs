//! The trailers of a datagram by name (RFC 6081 §4).

use std::net::SocketAddrV4;

use serde::Serialize;
use teredo::wire::{Trailer, Trailers};

/// More trailers than any packet has; further ones are not listed.
const MOST: usize = 16;

/// A trailer behind an IPv6 packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrailerRecord {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Its name: `nonce`, `alternate-address`, `neighbor-discovery`, `random-port` or `unknown`.
    pub name: &'static str,
    /// The length of its value in bytes.
    pub length: u8,
    /// Whether length and value are those that RFC 6081 §4 prescribes for the type.
    pub valid: bool,
    /// The nonce in hexadecimal (RFC 6081 §4.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The addresses (RFC 6081 §4.3).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddrV4>,
    /// `solicitation` or `advertisement` (RFC 6081 §4.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<&'static str>,
    /// The port (RFC 6081 §4.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl TrailerRecord {
    /// The trailers in `bytes`, and the number of bytes behind the last whole one.
    pub(crate) fn read_all(mut bytes: &[u8]) -> (Vec<Self>, usize) {
        let mut found = Vec::new();
        while let Some(length) = bytes.get(1).map(|length| 2 + usize::from(*length)) {
            let Some((one, rest)) = bytes.split_at_checked(length) else {
                break;
            };
            bytes = rest;
            if found.len() < MOST {
                found.extend(Self::read(one));
            }
        }
        (found, bytes.len())
    }

    /// One trailer; `one` is exactly as long as it says.
    fn read(one: &[u8]) -> Option<Self> {
        let (&[kind, length], _) = one.split_first_chunk()?;
        let mut record = Self {
            kind,
            name: name(kind),
            length,
            valid: true,
            nonce: None,
            addresses: Vec::new(),
            discovery: None,
            port: None,
        };
        match Trailers::new(one).next() {
            Some(Trailer::Nonce(nonce)) => {
                record.nonce = Some(format!("{:08x}", u32::from_be_bytes(nonce)));
            }
            Some(Trailer::AlternateAddresses(addresses)) => {
                record.addresses = addresses.as_slice().to_vec();
            }
            Some(Trailer::NeighborDiscovery { advertisement }) => {
                record.discovery = Some(if advertisement {
                    "advertisement"
                } else {
                    "solicitation"
                });
            }
            Some(Trailer::RandomPort(port)) => record.port = Some(port),
            Some(_) => {}
            // A known type with a value that it cannot have.
            None => record.valid = false,
        }
        Some(record)
    }

    /// Whether a receiver that does not know the type must drop the whole packet.
    pub(crate) const fn demands_discard(&self) -> bool {
        self.kind >> 6 == 0b01
    }

    /// The trailer in a few words, for a diagram.
    pub(crate) fn words(&self) -> String {
        match (&self.nonce, self.discovery, self.port) {
            _ if !self.valid => format!("{} of a wrong form", self.name),
            (Some(nonce), ..) => format!("nonce {nonce}"),
            (_, Some(discovery), _) => format!("neighbor {discovery}"),
            (.., Some(port)) => format!("random port {port}"),
            _ if !self.addresses.is_empty() => {
                let all: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
                format!("also at {}", all.join(", "))
            }
            _ => format!("trailer {:#04x}", self.kind),
        }
    }
}

const fn name(kind: u8) -> &'static str {
    match kind {
        1 => "nonce",
        3 => "alternate-address",
        4 => "neighbor-discovery",
        5 => "random-port",
        _ => "unknown",
    }
}
