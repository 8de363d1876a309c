//! The control loop's knowledge of its client: events that it has acted on, never those still under way.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::num::NonZeroU16;

use teredo::client::{Nat, Reason, State};
use teredo_notify::types::{NatBehaviour, Peers, Phase, Role, Status};
use teredo_tunnel::client::ClientPathStatus;

use super::Connectivity;
use crate::ServerName;
use crate::kernel::KernelUse;
use crate::names::Resolution;
use crate::status::{Times, set_traffic};

/// The client's account of itself.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) interface: String,
    pub(super) resolution: Resolution,
    servers: Vec<ServerName>,
    configured_port: Option<NonZeroU16>,
    times: Times,
    pub(super) state: State,
    pub(super) reason: Option<Reason>,
    pub(super) address: Option<Ipv6Addr>,
    pub(super) mapped: Option<SocketAddrV4>,
    /// The gating subscribers that opened the port after it was in use, each with the state that it opened.
    pub(super) late_firewalls: BTreeSet<(u64, Option<u64>)>,
    /// Why the interface cannot be used: the client is not qualified, whatever its server says.
    interface_trouble: Option<String>,
    /// The limits of a qualified client: other programs change its interface, or have a better route.
    pub(super) limits: [Option<String>; 2],
    /// Why the port is not the one asked for.
    pub(super) fallback: Option<String>,
    /// The servers that say that the key for them is no longer valid.
    pub(super) retired_keys: BTreeSet<Ipv4Addr>,
    /// The longest packet that reaches the server in one piece, if longer ones do not.
    pub(super) path_limit: Option<u16>,
    /// Why datagrams do not leave: the kernel's reason.
    pub(super) trouble: Option<String>,
    /// Whether the servers wait until the router has been asked for a port.
    pub(super) asks_router: bool,
}

impl Account {
    pub(super) fn new(
        interface: String,
        resolution: Resolution,
        servers: Vec<ServerName>,
        configured_port: Option<NonZeroU16>,
        stopped: bool,
        asks_router: bool,
    ) -> Self {
        let reason = match stopped {
            true => Reason::Stopped,
            false => Reason::NoServer,
        };
        Self {
            interface,
            resolution,
            servers,
            configured_port,
            times: Times::now(),
            state: State::Offline,
            reason: Some(reason),
            address: None,
            mapped: None,
            late_firewalls: BTreeSet::new(),
            interface_trouble: None,
            limits: [None, None],
            fallback: None,
            retired_keys: BTreeSet::new(),
            path_limit: None,
            trouble: None,
            asks_router,
        }
    }

    pub(super) fn enter_state(&mut self, state: State, reason: Option<Reason>) {
        if self.state != state {
            self.times.enter_state();
        }
        // An error while qualified was about a peer, and one before that is over.
        if [self.state, state].contains(&State::Qualified) {
            self.trouble = None;
        }
        (self.state, self.reason) = (state, reason);
    }

    /// Sets the reason why the interface cannot be used. Returns whether it is new.
    pub(super) fn set_interface_trouble(&mut self, trouble: Option<&str>) -> bool {
        if self.interface_trouble.as_deref() == trouble {
            return false;
        }
        if self.state == State::Qualified && self.interface_trouble.is_some() != trouble.is_some() {
            self.times.enter_state();
        }
        self.interface_trouble = trouble.map(str::to_owned);
        true
    }

    /// The state that others see: without a usable interface no client is qualified.
    fn visible_state(&self) -> State {
        match self.state {
            State::Qualified if self.interface_trouble.is_some() => State::Offline,
            state => state,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.visible_state() {
            State::Offline => Phase::Offline,
            State::Probe => Phase::Probe,
            State::Dormant => Phase::Dormant,
            State::Qualified => Phase::Qualified,
        }
    }

    /// Why the client is not qualified, down to the stage that fails; or what it lacks although it is.
    pub(super) fn explanation(&self) -> Option<String> {
        let Some(reason) = self.reason else {
            // The verdict on the server takes 12 s; an error of the kernel is known now.
            if let (State::Probe, Some(trouble)) = (self.state, &self.trouble) {
                return Some(format!("the kernel refuses: {trouble}"));
            }
            let qualified = self.state == State::Qualified;
            let [quarrel, route] = self.limits.clone();
            return self
                .interface_trouble
                .clone()
                .or(quarrel)
                .or_else(|| self.fallback.clone())
                .or_else(|| self.retired_key().filter(|_| qualified))
                .or_else(|| self.short_path().filter(|_| qualified))
                .or_else(|| route.filter(|_| qualified));
        };
        match (reason, &self.resolution.trouble, &self.trouble) {
            (Reason::NoServer, Some(trouble), _) => Some(trouble.clone()),
            (Reason::NoServer, None, _) if self.asks_router => {
                Some("asking the router for a port".to_owned())
            }
            (Reason::NoServer, None, _) => Some("looking the server's address up".to_owned()),
            (Reason::ServerRefused(address) | Reason::ServerDenied(address), _, _) => {
                match self.name_of(address) {
                    Some(name) => Some(format!("server name '{name}': {reason}")),
                    None => Some(reason.to_string()),
                }
            }
            (Reason::ServerSilent(_) | Reason::ServerLost(_), _, Some(trouble)) => {
                Some(format!("{reason} ({trouble})"))
            }
            _ => Some(reason.to_string()),
        }
    }

    /// Describes which packets pass on a path with a small MTU.
    fn short_path(&self) -> Option<String> {
        let limit = self.path_limit?;
        Some(format!(
            "the path to the server takes packets of up to {limit} bytes, not 1280: longer ones travel in fragments, \
             which may be dropped. TCP is limited to shorter segments"
        ))
    }

    /// The name that resolved to this address of a server.
    fn name_of(&self, address: Ipv4Addr) -> Option<&ServerName> {
        let mut servers = self.resolution.servers.iter();
        let found = servers
            .find(|(server, _)| [server.primary, server.secondary].contains(&address))
            .map(|(_, name)| name);
        found.filter(|name| name.address().is_none())
    }

    /// The next step for a key that a server accepts only for a while longer (RFC 4380 §5.2.2).
    fn retired_key(&self) -> Option<String> {
        let server = self.retired_keys.first()?;
        Some(format!(
            "the key is no longer valid, says server {server}: obtain a new one for --secret-file"
        ))
    }

    /// The address and the mapping that are good now. While the client asks for them again the interface keeps the old
    /// address, but no one should count on it.
    pub(super) fn in_use(&self) -> (Option<Ipv6Addr>, Option<SocketAddrV4>) {
        match self.visible_state() {
            State::Qualified => (self.address, self.mapped),
            _ => (None, None),
        }
    }

    /// The server's name as it was configured.
    pub(super) fn server(&self, primary: Option<Ipv4Addr>) -> Option<String> {
        let mut servers = self.resolution.servers.iter();
        servers
            .find(|(server, _)| primary.is_none_or(|primary| server.primary == primary))
            .map(|(_, name)| name.to_string())
    }

    pub(super) fn connectivity(&self) -> Connectivity {
        let address = self.address.filter(|_| self.interface_trouble.is_none());
        Connectivity {
            state: self.visible_state(),
            reason: self.reason,
            address,
            mapped: self.mapped.filter(|_| address.is_some()),
            trouble: self.interface_trouble.clone(),
        }
    }

    /// The status, of which the data path knows a part; `max_peers` is the capacity of its list.
    pub(super) fn status(
        &self,
        path: Option<&ClientPathStatus>,
        kernel: &KernelUse,
        max_peers: usize,
    ) -> Status {
        let (address, mapped) = self.in_use();
        let mut status = Status {
            role: Role::Client,
            configured_port: self.configured_port.map(Into::into),
            address,
            mapped,
            interface: Some(self.interface.clone()),
            ..self.times.status(self.phase(), self.explanation())
        };
        if let Some(path) = path {
            let primary = path.client.server.map(|server| server.primary);
            status.server = self.server(primary);
            status.server_address = primary;
            status.local = path.client.local;
            status.nat = Some(path.client.nat.name().to_owned());
            status.nat_behaviour = behaviour(&path.client);
            status.port_blocks = path.client.port_blocks;
            status.bubble_bursts = path.client.bubble_bursts;
            status.refresh_ms = u64::try_from(path.client.refresh_interval.as_millis()).ok();
            status.peers = Peers {
                total: path.client.peers as u64,
                trusted: path.client.trusted_peers as u64,
                capacity: max_peers as u64,
            };
            set_traffic(&mut status, &path.counters, kernel, &path.drops);
        }
        if status.server.is_none() {
            status.server = self.servers.first().map(ServerName::to_string);
        }
        status
    }
}

/// The behaviour of the NAT, once a server has told the mapping.
fn behaviour(client: &teredo::client::Status) -> Option<NatBehaviour> {
    let mapping = match client.nat {
        Nat::Unknown => return None,
        Nat::None | Nat::Restricted => "endpoint-independent",
        Nat::Symmetric => "address-and-port-dependent",
    };
    // A client that has no address because of its NAT has seen the mappings.
    let mapped = match client.reason {
        Some(Reason::SymmetricNat { primary, .. }) => Some(primary),
        _ => client.mapped,
    };
    let is_kept = client.local?.port() == mapped?.port();
    let ports = if is_kept { "preserving" } else { "other" };
    Some(NatBehaviour::new(mapping, ports))
}

#[cfg(test)]
mod tests;
