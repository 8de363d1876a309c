//! How a relay begins: what its lanes have in common is divided among them.

use std::net::SocketAddrV4;
use std::sync::{Arc, mpsc};
use std::thread;

use teredo::{Relay, RelayConfig};

use super::lane::{Lane, Port};
use super::{Events, LaneHandle, RelayError, RelayHandle, RelayPathConfig};
use crate::client::PortAnnouncer;
use crate::clock::{self, Timer};
use crate::lane::path::Path;
use crate::lane::trouble::Troubles;
use crate::lane::{Offload, seed};
use crate::port::gate::Gate;
use crate::{TunQueues, Waker};

pub(super) fn spawn(
    mut queues: TunQueues,
    config: RelayPathConfig,
    announcer: Box<dyn PortAnnouncer>,
    events: Events,
) -> Result<RelayHandle, RelayError> {
    let lanes = queues.lanes();
    let mut sockets = lanes.bind(config.bind, config.port)?;
    match config.offload {
        Offload::Auto => queues.enable_offloads(),
        Offload::Off => sockets
            .iter_mut()
            .for_each(|socket| socket.disable_offloads()),
    }
    let relay = share(
        RelayConfig {
            service: SocketAddrV4::new(config.bind, sockets[0].local().port()),
            ..config.relay
        },
        lanes.count(),
    );
    let mut made = Vec::with_capacity(lanes.count());
    for (tun, socket) in queues.into_each().zip(sockets) {
        let (sender, commands) = mpsc::channel();
        let waker = Waker::new()?;
        let lane = Lane {
            path: Path::new(Relay::new(relay.clone(), seed()?, clock::now()), tun),
            socket,
            destinations: relay.destinations.clone(),
            events: Arc::clone(&events),
            commands,
            waker: waker.clone(),
            timer: Timer::new()?,
            troubles: Troubles::default(),
            open: false,
            port: None,
        };
        made.push((lane, sender, waker));
    }
    let others = made[1..]
        .iter()
        .map(|(_, sender, waker)| (sender.clone(), waker.clone()));
    let port = Port {
        gate: Gate::new(config.settle_deadline),
        announcer,
        patience: config.settle_deadline,
        others: others.collect(),
    };
    made[0].0.port = Some(port);
    let mut handles = Vec::with_capacity(made.len());
    // Backwards: the first one announces the port, which all have to be there for.
    for (index, (lane, commands, waker)) in made.into_iter().enumerate().rev() {
        let name = match index {
            0 => "teredo-relay".to_owned(),
            index => format!("teredo-relay/{index}"),
        };
        let thread = thread::Builder::new().name(name).spawn(|| lane.run())?;
        handles.push(LaneHandle {
            commands,
            waker,
            thread: Some(thread),
        });
    }
    // There is a queue, so that there is a lane.
    let first = handles.pop().expect("the first lane was started last");
    Ok(RelayHandle {
        others: handles,
        first,
    })
}

/// A lane's part of what the relay as a whole may use. What is for one peer is for one lane.
///
/// No part gets so small that what is meant for a crowd is used up by a few: many lanes may use more than one would.
fn share(relay: RelayConfig, lanes: usize) -> RelayConfig {
    let part = |whole: usize, least: usize| whole.div_ceil(lanes).max(least.min(whole));
    let rate = |whole: u32, least: u32| whole.div_ceil(lanes as u32).max(least.min(whole));
    RelayConfig {
        max_peers: part(relay.max_peers, 1 << 16),
        max_underway: part(relay.max_underway, 1 << 13),
        max_total_queue_bytes: part(relay.max_total_queue_bytes, 2 << 20),
        bubbles_per_server: rate(relay.bubbles_per_server, 64),
        unsolicited_per_second: rate(relay.unsolicited_per_second, 10),
        ..relay
    }
}

#[cfg(test)]
mod tests;
