//! A relay's data path: lanes, each with a queue of the TUN interface, a socket on the service port and a state machine
//! for its share of the clients (see `steer`).
//!
//! Between the interface and the IPv6 Internet the host's own IPv6 stack is the router, with its routes, its rules
//! and its hop limits. For a host-specific relay it is the host that answers, echo requests among others (R-HSR-03).

mod role;
mod spawn;

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use teredo::relay::{RelayCounters, RelayStatus, Served};
use teredo::{DropCounters, RelayConfig};

use self::role::Command;
use crate::kernel::KernelPath;
use crate::lane::{Counters, LaneEvent, SpawnError, Threads};
use crate::offload::Offload;
use crate::port::PortAnnouncer;
use crate::{TunQueues, Waker};

/// An event of a relay's data path; its state machines report none.
pub type RelayEvent = LaneEvent<Infallible>;

/// The settings of a relay's data path.
#[derive(Clone, Debug)]
pub struct RelayPathConfig {
    /// The address to bind; unspecified leaves it to the routing table.
    pub bind: Ipv4Addr,
    /// The port to bind; 0 for one that the kernel chooses.
    pub port: u16,
    /// The protocol's settings; the data path fills in the service port.
    pub relay: RelayConfig,
    /// How long to wait for gating subscribers before datagrams leave all the same (N-16).
    pub settle_deadline: Duration,
    /// Whether to use kernel offloads.
    pub offload: Offload,
    /// The path in the kernel, attached to the relay's interface, if there is one.
    pub kernel: Option<KernelPath>,
}

/// The state of a relay's data path at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayPathStatus {
    /// The state machines' own account.
    pub relay: RelayStatus,
    /// Their work, by kind.
    pub relayed: RelayCounters,
    /// Packets dropped, by reason.
    pub drops: DropCounters,
    /// The service port in use; 0 for none.
    pub port: u16,
    /// Traffic and system calls.
    pub counters: Counters,
    /// The share of each lane.
    pub lanes: Vec<RelayLaneStatus>,
}

/// The share of one lane of a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayLaneStatus {
    /// Its state machine's own account.
    pub relay: RelayStatus,
    /// Traffic and system calls.
    pub counters: Counters,
}

impl RelayPathStatus {
    /// Adds the share of one lane.
    fn add(&mut self, lane: &Self) {
        self.relay += lane.relay;
        self.relayed += lane.relayed;
        self.drops.merge(&lane.drops);
        self.port = self.port.max(lane.port);
        self.counters += lane.counters;
        self.lanes.extend_from_slice(&lane.lanes);
    }
}

/// A running relay. Dropping it ends the relay: the port is closed and its end announced, and the interface disappears.
/// That takes no longer than a batch; no subscriber is waited for.
#[derive(Debug)]
pub struct RelayHandle {
    lanes: Threads<Command>,
    waker: Waker,
}

impl RelayHandle {
    /// Binds the service port and starts a lane for each queue, in the network namespace of the calling thread.
    ///
    /// The port is announced first; the relay serves when the announcement is settled, or when
    /// [`RelayPathConfig::settle_deadline`] has passed. `events` is called on the data-path threads: it must pass the
    /// event on and return.
    ///
    /// # Errors
    /// [`SpawnError`]; a port that is not available is one, since no client would look for the relay at another.
    pub fn spawn(
        queues: TunQueues,
        config: RelayPathConfig,
        announcer: Box<dyn PortAnnouncer>,
        events: impl Fn(RelayEvent) + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        let (lanes, waker) = spawn::spawn(queues, config, announcer, Arc::new(events))?;
        Ok(Self { lanes, waker })
    }

    /// Wakes the lane that announces the port, for when the announcement has been settled.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Replaces the directed broadcast addresses of the attached subnets (see
    /// [`broadcasts`](crate::net::Attached::broadcasts)).
    pub fn set_broadcasts(&self, broadcasts: Vec<Ipv4Addr>) {
        self.lanes
            .send(|| Command::SetBroadcasts(broadcasts.clone()));
    }

    /// Datagrams may leave by another interface, or from another address.
    pub fn reroute(&self) {
        self.lanes.send(|| Command::Reroute);
    }

    /// The host's IPv6 addresses changed: errors come from `error_source`, and `served` replaces what is served.
    pub fn set_native(&self, error_source: Option<Ipv6Addr>, served: Option<Served>) {
        self.lanes.send(|| Command::SetNative {
            error_source,
            served: served.clone(),
        });
    }

    /// Sets whether packets go to the host. An interface in another network namespace leads to a host that no firewall of
    /// this one protects.
    pub fn set_delivers(&self, delivers: bool) {
        self.lanes.send(|| Command::SetDelivers(delivers));
    }

    /// The current status; `None` once a part of the relay has ended.
    pub fn status(&self) -> impl Future<Output = Option<RelayPathStatus>> + Send + use<> {
        let lanes = self.lanes.ask(Command::Status);
        async {
            let mut sum = RelayPathStatus::default();
            for lane in lanes {
                sum.add(&lane.await?);
            }
            Some(sum)
        }
    }
}

#[cfg(test)]
mod tests;
