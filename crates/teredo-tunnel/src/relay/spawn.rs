//! How a relay starts: relay-wide limits are split across lanes.

use std::convert::Infallible;
use std::net::SocketAddrV4;
use std::sync::{Arc, mpsc};

use teredo::{Relay, RelayConfig};

use super::RelayPathConfig;
use super::role::{Command, RelayRole};
use crate::kernel::{KernelLane, Share};
use crate::lane::{Events, Lane, LaneEvent, SpawnError, ThreadHandle, Threads, seed};
use crate::offload::Offload;
use crate::port::{Follow, PortAnnouncer};
use crate::{TunQueues, Waker};

/// Starts the lanes; returns the waker of the lane that announces the port besides.
pub(super) fn spawn(
    mut queues: TunQueues,
    config: RelayPathConfig,
    announcer: Box<dyn PortAnnouncer>,
    events: Events<Infallible>,
) -> Result<(Threads<Command>, Waker), SpawnError> {
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
    let wakers: Vec<Waker> = (0..lanes.count())
        .map(|_| Waker::new())
        .collect::<Result<_, _>>()?;
    let follow = Follow::default();
    let mut announcer = Some(announcer);
    let mut made = Vec::with_capacity(lanes.count());
    for ((tun, socket), waker) in queues.into_each().zip(sockets).zip(&wakers) {
        let (sender, commands) = mpsc::channel();
        // The first lane takes the announcer and reports the port; the others follow it, however long that takes.
        let (announcer, patience, others, events) = match announcer.take() {
            Some(announcer) => {
                let patience = Some(config.settle_deadline);
                (announcer, patience, &wakers[1..], Arc::clone(&events))
            }
            None => {
                let announcer: Box<dyn PortAnnouncer> = Box::new(follow.clone());
                (announcer, None, &[][..], without_port(&events))
            }
        };
        let mut lane = Lane::new(
            Relay::new(relay.clone(), seed()?),
            tun,
            announcer,
            patience,
            events,
            commands,
            waker.clone(),
        )?;
        if let Some(kernel) = &config.kernel {
            let share = Share::of(lanes, made.len());
            lane.path
                .use_kernel(KernelLane::new(kernel.clone(), share, 0));
        }
        let role = RelayRole {
            socket: Some(socket),
            destinations: relay.destinations.clone(),
            broadcasts: None,
            others: others.to_vec(),
            follow: follow.clone(),
        };
        made.push((lane, role, sender, waker.clone()));
    }
    let mut threads = Vec::with_capacity(made.len());
    // Backwards: the first lane announces the port, and by then all lanes must run.
    for (index, (lane, role, sender, waker)) in made.into_iter().enumerate().rev() {
        let name = match index {
            0 => "teredo-relay".to_owned(),
            index => format!("teredo-relay/{index}"),
        };
        threads.push(ThreadHandle::spawn(name, sender, waker, || lane.run(role))?);
    }
    threads.reverse();
    Ok((Threads::new(threads), wakers[0].clone()))
}

/// The events without those of the port.
fn without_port(events: &Events<Infallible>) -> Events<Infallible> {
    let events = Arc::clone(events);
    Arc::new(move |event| {
        if !matches!(event, LaneEvent::PortBound { .. }) {
            events(event);
        }
    })
}

/// A lane's share of the relay-wide limits. Limits per peer stay as they are.
///
/// No share gets so small that a few peers use up what is meant for a crowd, so many lanes together may use more than one
/// lane would.
fn share(relay: RelayConfig, lanes: usize) -> RelayConfig {
    let part = |whole: usize, least: usize| whole.div_ceil(lanes).max(least.min(whole));
    let rate = |whole: u32, least: u32| whole.div_ceil(lanes as u32).max(least.min(whole));
    RelayConfig {
        max_peers: part(relay.max_peers, 1 << 16),
        max_underway: part(relay.max_underway, 1 << 13),
        max_total_queue_bytes: part(relay.max_total_queue_bytes, 2 << 20),
        bubbles_per_server: rate(relay.bubbles_per_server, 64),
        bubbles_per_second: rate(relay.bubbles_per_second, 500),
        unsolicited_per_second: rate(relay.unsolicited_per_second, 10),
        ..relay
    }
}

#[cfg(test)]
mod tests;
