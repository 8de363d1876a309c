//! An Internet Gateway Device: a NAT whose hosts ask for port mappings (UPnP IGD, and PCP and NAT-PMP alike).
//!
//! The requests are method calls; how they travel is not simulated. A granted port is open to all senders (RFC 6081
//! §5.3). It says nothing about outbound datagrams, except that the first mapping of the socket gets the granted port:
//! so a server sees it, and behind a symmetric NAT other destinations do not.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use teredo::Instant;

use super::Nat;

/// The conduct of an Internet Gateway Device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Igd {
    /// It does what it says.
    Honest,
    /// It refuses every request with this code of UPnP, such as 501 (action failed).
    Refuses(u16),
    /// It takes requests and never answers. Nothing is mapped.
    Hangs,
    /// It maps ports, and says that its external address is this.
    Lies(Ipv4Addr),
    /// It agrees to a port that another host has, and leaves that to the other host.
    GivesAnothers,
    /// It maps ports, and forgets each mapping after this time, long before its lifetime.
    Forgets(Duration),
}

/// Why a request to an Internet Gateway Device failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgdFailure {
    /// The NAT is none.
    Absent,
    /// It does not answer.
    Silent,
    /// It refuses, with a code of UPnP: 714 (no such mapping), 718 (the port is another host's), 728 (no room), or any
    /// that [`Igd::Refuses`] has.
    Refused(u16),
}

const NO_SUCH_ENTRY: u16 = 714;
const CONFLICT: u16 = 718;
const NO_ROOM: u16 = 728;

/// The most granted ports.
const MAX_GRANTS: usize = 1_024;

/// A granted port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) inside: SocketAddrV4,
    /// The end of its lifetime; `None` if it has none.
    until: Option<Instant>,
}

impl Grant {
    pub(super) fn alive(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Nat {
    /// Maps a port of the first external address to an inside socket (`AddPortMapping`), for a lifetime or, if that is
    /// zero, for ever. A port that the socket's host has already is mapped anew.
    ///
    /// # Errors
    ///
    /// [`IgdFailure`] if the NAT is no such device, does not answer, or refuses.
    pub fn add_port_mapping(
        &mut self,
        now: Instant,
        port: u16,
        inside: SocketAddrV4,
        lifetime: Duration,
    ) -> Result<(), IgdFailure> {
        let igd = self.igd()?;
        self.grants.retain(|_, grant| grant.alive(now));
        let lifetime = match igd {
            Igd::Forgets(after) => Some(after),
            _ => (lifetime > Duration::ZERO).then_some(lifetime),
        };
        let grant = Grant {
            inside,
            until: lifetime.map(|lifetime| now + lifetime),
        };
        let taken = self.others_port(now, port, inside);
        match igd {
            Igd::GivesAnothers if taken => Ok(()),
            _ if taken => Err(IgdFailure::Refused(CONFLICT)),
            _ if self.grants.len() >= MAX_GRANTS && !self.grants.contains(&port) => {
                Err(IgdFailure::Refused(NO_ROOM))
            }
            _ => {
                self.grants.insert(port, grant);
                Ok(())
            }
        }
    }

    /// Ends the mapping of a port (`DeletePortMapping`).
    ///
    /// # Errors
    ///
    /// As [`Self::add_port_mapping`]; also if there is no such mapping.
    pub fn delete_port_mapping(&mut self, now: Instant, port: u16) -> Result<(), IgdFailure> {
        self.igd()?;
        match self.grants.remove(&port) {
            Some(grant) if grant.alive(now) => Ok(()),
            _ => Err(IgdFailure::Refused(NO_SUCH_ENTRY)),
        }
    }

    /// The first external address, as the device says it (`GetExternalIPAddress`). Behind another NAT it is private.
    ///
    /// # Errors
    ///
    /// As [`Self::add_port_mapping`].
    pub fn told_address(&self) -> Result<Ipv4Addr, IgdFailure> {
        match self.igd()? {
            Igd::Lies(address) => Ok(address),
            _ => Ok(self.external),
        }
    }

    /// The ports that are granted at `now`, with their inside sockets, in order.
    pub fn port_mappings(&self, now: Instant) -> Vec<(u16, SocketAddrV4)> {
        let alive = self.grants.iter().filter(|(_, grant)| grant.alive(now));
        alive.map(|(port, grant)| (*port, grant.inside)).collect()
    }

    /// The device's conduct, if it answers.
    fn igd(&self) -> Result<Igd, IgdFailure> {
        match self.behaviour.igd {
            None => Err(IgdFailure::Absent),
            Some(Igd::Hangs) => Err(IgdFailure::Silent),
            Some(Igd::Refuses(code)) => Err(IgdFailure::Refused(code)),
            Some(igd) => Ok(igd),
        }
    }

    /// Whether a port of the first external address is another socket's: granted to another host, or mapped for traffic
    /// from another socket.
    pub(super) fn others_port(&self, now: Instant, port: u16, inside: SocketAddrV4) -> bool {
        let granted = self.grants.get(&port);
        if granted.is_some_and(|grant| grant.alive(now) && grant.inside.ip() != inside.ip()) {
            return true;
        }
        let external = SocketAddrV4::new(self.external, port);
        let mut mapped = self.bindings.at_socket(external);
        mapped.any(|binding| self.alive(now, binding) && binding.inside != inside)
    }

    /// The inside socket that a live grant gives an external socket to.
    pub(super) fn granted(&self, now: Instant, external: SocketAddrV4) -> Option<SocketAddrV4> {
        let grant = self.grants.get(&external.port())?;
        (*external.ip() == self.external && grant.alive(now)).then_some(grant.inside)
    }

    /// The port that is granted to an inside socket.
    pub(super) fn grant_of(&self, now: Instant, inside: SocketAddrV4) -> Option<u16> {
        let mut alive = self.grants.iter().filter(|(_, grant)| grant.alive(now));
        let (port, _) = alive.find(|(_, grant)| grant.inside == inside)?;
        Some(*port)
    }
}
