//! The invariants, checked at every datagram and every event.
//!
//! The checks use neither the protocol's limits nor its list of refused addresses, so they are right even if those have
//! a fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use teredo::Instant;
use teredo::client::Event;
use teredo_sim::{ClientId, Datagram, HostId, Observer};

use crate::plan::{Plan, region_of};
use crate::report::Breaches;

/// The time in which a peer gets one bubble through its server (RFC 4380 §5.2.6), or two if the first one waited for a
/// random port (RFC 6081 §5.5): the answer to the peer's next bubble does not wait.
const BUBBLE_SPACING: Duration = Duration::from_secs(2);
/// The most of them in [`BUBBLE_WINDOW`]: four that ask, and as many that answer the peer's.
const BUBBLE_LIMIT: u8 = 8;
const BUBBLE_WINDOW: Duration = Duration::from_secs(300);
/// Solicitations (RFC 4380 §5.2.1): one to each address of two servers in 4 s, and as many at once when a client gives up a
/// server and begins anew.
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(1);
const SOLICITATION_BURST: u32 = 10;

/// The most breaches that are described.
const DESCRIBED: usize = 10;

/// The observations of a region.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    region: usize,
    arrivals: Vec<(usize, Vec<u8>)>,
    pub(crate) breaches: Breaches,
    pub(crate) described: Vec<String>,
    owners: HashMap<Ipv6Addr, usize>,
    addresses: Vec<Option<Ipv6Addr>>,
    /// When each client's bucket of solicitations is full again.
    solicited: Vec<Instant>,
    bubbles: BTreeMap<(HostId, Ipv6Addr), Bubbles>,
}

/// The bubbles to one peer through its server.
#[derive(Clone, Copy, Debug)]
struct Bubbles {
    first: Instant,
    /// The last one, and the one before.
    last: Instant,
    earlier: Option<Instant>,
    count: u8,
}

/// Shows the watch to a world.
pub(crate) struct Witness(pub(crate) Rc<RefCell<Watch>>);

impl Observer for Witness {
    fn sent(&mut self, now: Instant, host: HostId, datagram: &Datagram) {
        self.0.borrow_mut().sent(now, host, datagram);
    }

    fn delivered(&mut self, _: Instant, client: ClientId, packet: &[u8]) {
        let mut watch = self.0.borrow_mut();
        watch.arrivals.push((client.number(), packet.to_vec()));
    }

    fn event(&mut self, now: Instant, client: ClientId, event: &Event) {
        self.0.borrow_mut().event(now, client.number(), event);
    }
}

impl Watch {
    pub(crate) fn new(plan: Plan, region: usize) -> Self {
        let clients = plan.clients_of(region);
        Self {
            region,
            addresses: vec![None; clients],
            solicited: vec![Instant::default(); clients],
            ..Self::default()
        }
    }

    pub(crate) fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// The packets that clients have delivered to their hosts.
    pub(crate) fn take_arrivals(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.arrivals)
    }

    /// A pair that could have talked has not.
    pub(crate) fn breach(&mut self, at: Instant, text: impl FnOnce() -> String) {
        self.breaches.silent_pairs += 1;
        self.describe(at, text);
    }

    /// A client has no address, though a server is there.
    pub(crate) fn strand(&mut self, at: Instant, text: impl FnOnce() -> String) {
        self.breaches.stranded += 1;
        self.describe(at, text);
    }

    /// Forgets the bubbles that count no more.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.bubbles
            .retain(|_, bubbles| now - bubbles.last < BUBBLE_WINDOW);
    }

    fn describe(&mut self, at: Instant, text: impl FnOnce() -> String) {
        if self.described.len() < DESCRIBED {
            let seconds = (at - Instant::default()).as_secs_f64();
            let region = self.region;
            self.described
                .push(format!("{seconds:.3} s, region {region}: {}", text()));
        }
    }

    fn sent(&mut self, now: Instant, host: HostId, datagram: &Datagram) {
        // What crosses the border was checked on its other side.
        if matches!(host, HostId::Raw(_)) {
            return;
        }
        let to = *datagram.destination.ip();
        if is_refused(to) {
            self.breaches.refused_destinations += 1;
            self.describe(now, || format!("{host} sends to {}", datagram.destination));
        }
        match &*datagram.payload {
            // An authentication header, which only solicitations and advertisements have.
            [0, 1, ..] if matches!(host, HostId::Client(_)) => {
                self.count_solicitation(now, host, datagram);
            }
            // A bubble without an origin: 59 is "no next header".
            payload if datagram.destination.port() == 3544 && payload.get(6) == Some(&59) => {
                self.count_bubble(now, host, payload);
            }
            _ => {}
        }
    }

    fn count_solicitation(&mut self, now: Instant, host: HostId, datagram: &Datagram) {
        let client = Plan::client_inside(*datagram.source.ip());
        let Some(full) = self.solicited.get_mut(client) else {
            return;
        };
        *full = (*full).max(now) + SOLICITATION_INTERVAL;
        if *full > now + SOLICITATION_INTERVAL * SOLICITATION_BURST {
            self.breaches.solicitations += 1;
            self.describe(now, || format!("{host} solicits too often"));
        }
    }

    fn count_bubble(&mut self, now: Instant, host: HostId, payload: &[u8]) {
        let destination = payload
            .get(24..40)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let Some(peer) = destination.map(Ipv6Addr::from) else {
            return;
        };
        let fresh = Bubbles {
            first: now,
            last: now,
            earlier: None,
            count: 1,
        };
        let Some(bubbles) = self.bubbles.get_mut(&(host, peer)) else {
            self.bubbles.insert((host, peer), fresh);
            return;
        };
        let spaced = bubbles
            .earlier
            .is_none_or(|earlier| now - earlier >= BUBBLE_SPACING);
        if now - bubbles.first >= BUBBLE_WINDOW {
            *bubbles = fresh;
        } else {
            bubbles.earlier = Some(std::mem::replace(&mut bubbles.last, now));
            bubbles.count = bubbles.count.saturating_add(1);
        }
        if !spaced || bubbles.count > BUBBLE_LIMIT {
            self.breaches.bubbles += 1;
            self.describe(now, || format!("{host} sends too many bubbles to {peer}"));
        }
    }

    fn event(&mut self, now: Instant, client: usize, event: &Event) {
        match *event {
            Event::AddressUp {
                address, mapped, ..
            } => {
                self.release(client);
                self.addresses[client] = Some(address);
                let earlier = self.owners.insert(address, client);
                if earlier.is_some() || region_of(*mapped.ip()) != Some(self.region) {
                    self.breaches.shared_addresses += 1;
                    self.describe(now, || {
                        format!("client {client} has {address}, as {earlier:?} has")
                    });
                }
            }
            Event::AddressDown { .. } => self.release(client),
            _ => {}
        }
    }

    fn release(&mut self, client: usize) {
        if let Some(address) = self.addresses[client].take() {
            self.owners.remove(&address);
        }
    }
}

/// The list of RFC 4380 §5.2.4, multicast and reserved addresses, and the space that carriers share (RFC 6598).
fn is_refused(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || a == 0
        || a >= 224
        || (a, b, c) == (192, 88, 99)
        || a == 100 && (64..128).contains(&b)
}
