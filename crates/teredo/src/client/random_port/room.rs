//! Room for a random port: strangers have half of the ports, and no IPv4 address keeps the others out.
//!
//! | a port is wanted for | and | it takes the place of |
//! |---|---|---|
//! | a peer that began | its IPv4 address has four | the oldest of these without a path |
//! | a peer that began | strangers have their half, or all ports are in use | the strangers' oldest without a path; one of the address with the most, if that has two more than the newcomer's; the one that has carried none of our data for the longest time, if that is two minutes |
//! | a peer of the host | all ports are in use | the strangers' oldest without a path; the oldest without a path; one of the strangers' address with the most |
//!
//! If there is none, the port is refused. The address with the most ports yields the one that was not heard for the longest
//! time. A newcomer without a path is the next to make room, so a flood of newcomers ends one conversation at most, and
//! idle paths: to hold the ports with an address each, it takes hosts that this one talks to.

use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::{Client, DRAWN, DRAWN_OUTER, RANDOM_PORTS};
use crate::wire::TeredoAddress;
use crate::{DropReason, Instant};

/// How long a stranger's path is kept from newcomers without data of the host.
const IDLE: Duration = Duration::from_secs(120);

/// A random port as a candidate.
struct Held {
    number: u16,
    /// The IPv4 address in the peer's address.
    outer: Option<Ipv4Addr>,
    /// Whether the peer began.
    is_drawn: bool,
    has_path: bool,
    heard: Option<Instant>,
    /// When data was last sent from it, or it was announced.
    data_sent: Instant,
}

impl Client {
    /// Closes a port if there are too many. Returns whether there is room for one more.
    pub(super) fn make_room_for_port(
        &mut self,
        now: Instant,
        teredo: TeredoAddress,
        drawn: bool,
    ) -> bool {
        let held: Vec<Held> = self.held_ports(now).collect();
        let outer = Some(*teredo.mapped.ip());
        let same_outer = of_strangers(&held, outer);
        let is_full = held.len() >= RANDOM_PORTS;
        let drawn_ports = held.iter().filter(|port| port.is_drawn).count();
        let oldest_drawn = || oldest(&held, |port| port.is_drawn);
        let victim = match drawn {
            true if same_outer >= DRAWN_OUTER => {
                oldest(&held, |port| port.is_drawn && port.outer == outer)
            }
            true if is_full || drawn_ports >= DRAWN => oldest_drawn()
                .or_else(|| yielded(&held, same_outer + 2))
                .or_else(|| idle(&held, now)),
            false if is_full => oldest_drawn()
                .or_else(|| oldest(&held, |_| true))
                .or_else(|| yielded(&held, 1)),
            _ => return true,
        };
        if let Some(number) = victim {
            self.drop(DropReason::RandomPortLimit);
            self.close_random_port(number);
        }
        victim.is_some()
    }

    /// The ports, oldest first.
    fn held_ports(&self, now: Instant) -> impl Iterator<Item = Held> {
        self.random_ports.ports.iter().map(move |port| {
            let slot = self.peers.find(&port.peer);
            let peer = slot.map(|slot| self.peers.peer(slot));
            let teredo = TeredoAddress::from_ipv6(port.peer);
            Held {
                number: port.number,
                outer: teredo.map(|teredo| *teredo.mapped.ip()),
                is_drawn: peer.is_none_or(|peer| peer.came_from().is_some()),
                has_path: peer.is_some_and(|peer| peer.path(now).is_some()),
                heard: peer.and_then(|peer| peer.last_heard()),
                data_sent: port.data_sent.unwrap_or(port.expires),
            }
        })
    }
}

/// The oldest port without a path.
fn oldest(held: &[Held], permits: impl Fn(&Held) -> bool) -> Option<u16> {
    let mut ports = held.iter().filter(|port| !port.has_path);
    ports.find(|port| permits(port)).map(|port| port.number)
}

/// The port of a stranger whose path has been without the host's data for the longest time.
fn idle(held: &[Held], now: Instant) -> Option<u16> {
    let drawn = held.iter().filter(|port| port.is_drawn);
    let idle = drawn.filter(|port| now >= port.data_sent + IDLE);
    let longest = idle.min_by_key(|port| port.data_sent);
    longest.map(|port| port.number)
}

/// How many ports the peers that began have with this address.
fn of_strangers(held: &[Held], outer: Option<Ipv4Addr>) -> usize {
    let same = held
        .iter()
        .filter(|port| port.is_drawn && port.outer == outer);
    same.count()
}

/// The port of the address with the most, at least so many, that was not heard for the longest time.
fn yielded(held: &[Held], least: usize) -> Option<u16> {
    let drawn = held.iter().filter(|port| port.is_drawn);
    let counted = drawn.map(|port| (of_strangers(held, port.outer), port));
    let crowded = counted.filter(|(count, _)| *count >= least);
    let most = crowded.max_by_key(|(count, port)| (*count, Reverse(port.heard)));
    most.map(|(_, port)| port.number)
}
