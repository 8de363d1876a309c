//! NATs that open the service port on request (RFC 6081 §5.3): Internet Gateway Devices.
//!
//! The caller asks the device, before it starts the client. If the server sees the mapping that the device gave, there is
//! no other NAT, and all packets to the mapping in the address arrive (R6081-5.3.3-07). Such a client behind a symmetric NAT
//! meets another one: each sends to the mapping in the other's address, and hears it from elsewhere.
//!
//! ```text
//!  A                                                       B (RFC 6081 §6.2)
//!     ── bubble, from A:x to the mapping in B's address ──>     not believed yet: it has no nonce
//!     ── indirect bubble, nonce 1 ────────────────────────>
//!     <─ bubble, nonce 1, from B:y to that in A's address ─
//! ```
//!
//! A peer that lies about its address can have our data sent to another host this way. Only the host's own device turns
//! it on, and only for peers that are heard from elsewhere.

use std::net::SocketAddrV4;

use super::peers::Path;
use super::{Client, Nat, Phase};
use crate::wire::TeredoAddress;

impl Client {
    /// Sets the external address that an Internet Gateway Device has given the service port, by UPnP, PCP or NAT-PMP
    /// (R6081-5.3.3-05). Call it before [`start`](Self::start) if the device answers in time, and with `None` when the mapping
    /// is gone.
    ///
    /// If the device answers late, peers that were not reached without the mapping are tried anew.
    pub fn set_upnp_mapping(&mut self, external: Option<SocketAddrV4>) {
        let needed_ports = self.needs_random_ports();
        self.upnp = external;
        if self.needs_random_ports() != needed_ports {
            self.peers.forget_attempts();
        }
    }

    /// Whether a device has opened the service port, and is the only NAT (R6081-5.3.3-07, A-18).
    pub(super) fn has_open_mapping(&self) -> bool {
        let Phase::Qualified(service) = &self.phase else {
            return false;
        };
        self.config.nat_traversal.extends_rfc4380() && self.upnp == Some(service.address.mapped)
    }

    /// The external address of the service port at the innermost of several NATs.
    pub(super) fn inner_mapping(&self) -> Option<SocketAddrV4> {
        self.upnp.filter(|_| !self.has_open_mapping())
    }

    /// The way to a peer that was heard over `path`: if the Symmetric NAT flag, the UPnP-Enabled NAT flag and the Symmetric
    /// Peer flag are set, and there is one NAT, the mapping in the peer's address (R6081-5.3.4.1-01, R6081-5.3.4.2-01,
    /// R6081-5.3.4.3-01).
    pub(super) fn through_gateway(&self, slot: u32, path: Path) -> Path {
        if self.nat != Nat::Symmetric || !self.has_open_mapping() {
            return path;
        }
        let Some(teredo) = TeredoAddress::from_ipv6(self.peers.address(slot)) else {
            return path;
        };
        let is_inside = self.shares_nat(teredo) || !self.config.destinations.permits(path.from);
        if is_inside {
            return path;
        }
        Path {
            to: teredo.mapped,
            ..path
        }
    }
}
