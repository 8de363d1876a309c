//! The border of a world: an internet of several worlds, each of which may run in a thread of its own.
//!
//! A raw host is the border. What no host of the world's Internet has goes to it, and what it sends may have any source
//! and comes at a given time. If crossing the border takes a while, two worlds need to exchange what crosses only once
//! in that time.

use std::net::Ipv6Addr;

use teredo::Instant;

use super::{Event, NATIVE_DELAY, Network, World};
use crate::datagram::Datagram;
use crate::host::{RawId, RelayId};
use crate::icmp::IcmpError;

impl World {
    /// Routes everything that no host of the Internet has to this raw host: datagrams, ICMP errors and native IPv6
    /// packets.
    pub fn set_default_route(&mut self, border: RawId) {
        self.default_route = Some(border);
    }

    /// Sends a datagram of a raw host as it is, at that time.
    pub fn inject_at(&mut self, at: Instant, id: RawId, datagram: Datagram) {
        let event = Event::Emit(id.into(), Box::new(datagram));
        self.schedule.push(at.max(self.now), event);
    }

    /// Routes an ICMP error that comes from beyond the border, at that time.
    pub fn inject_error_at(&mut self, at: Instant, error: IcmpError) {
        let event = Event::Error(Network::Internet, Box::new(error));
        self.schedule.push(at.max(self.now), event);
    }

    /// Sends a packet into the native IPv6 Internet at that time.
    pub fn send_native_at(&mut self, at: Instant, packet: Vec<u8>) {
        let at = at.max(self.now) + NATIVE_DELAY;
        self.schedule.push(at, Event::Native(packet));
    }

    /// Gives a native host a relay near it, which gets its packets for Teredo clients. Those of other hosts go to the
    /// last relay.
    pub fn set_relay_of(&mut self, native: Ipv6Addr, relay: RelayId) {
        self.relay_of.insert(native, relay);
    }
}
