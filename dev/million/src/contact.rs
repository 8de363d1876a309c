//! Programs that talk: one host asks another, which answers, as `ping` does.
//!
//! ```text
//!  asker's region                         peer's region
//!      <──────────── invitation ──────────── a client in service
//!      ── question, each second ──────────>
//!      <─────────────────────────── answer ──  talked
//!      ── after 10 s: doubt ──────────────>  could the peer have answered?
//! ```

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use teredo::Instant;
use teredo::client::NatTraversal;
use teredo::wire::{Icmpv6, Ipv6Packet, TeredoAddress, emit_echo_request};
use teredo_matrix::promise;
use teredo_sim::{Mapping, packet};

use crate::exchange::{Peer, Traveller};
use crate::life::Task;
use crate::plan::Plan;
use crate::region::Region;
use crate::report::Contacts;

/// A program asks so often, a second apart. The RFC has bubbles at 0, 2, 4 and 6 s.
const QUESTIONS: u8 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// A host that was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Peer(Peer),
    Native(Ipv6Addr),
}

/// A program that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    /// The asking client, of the region that has the contact.
    asker: usize,
    address: Ipv6Addr,
    pub(crate) target: Target,
    pub(crate) began: Instant,
    asked: u8,
    /// Whether the NATs and the servers let them talk.
    pub(crate) promised: bool,
}

/// The contacts of a region.
#[derive(Debug, Default)]
pub(crate) struct Open {
    by_number: BTreeMap<u64, Contact>,
    last: u64,
    pub(crate) peers: Contacts,
    pub(crate) native: Contacts,
}

impl Open {
    fn count(&mut self, target: Target) -> &mut Contacts {
        match target {
            Target::Peer(_) => &mut self.peers,
            Target::Native(_) => &mut self.native,
        }
    }
}

impl Region {
    /// Offers a client of this region to a client of any region.
    pub(crate) fn invite(&mut self, client: usize) {
        let region = self.rng.usize(..crate::plan::REGIONS);
        let clients = self.plan.clients_of(region);
        if clients == 0 {
            return;
        }
        let guest = self.rng.usize(..clients);
        let Some(address) = self.address_in_service(client) else {
            return;
        };
        if (region, guest) != (self.number, client) {
            let peer = Peer {
                region: self.number,
                client,
                address,
            };
            let invitation = Traveller::Invitation {
                client: guest,
                peer,
            };
            self.depart(region, invitation);
        }
    }

    /// Lets a client's program ask. A client that is not in service has none.
    pub(crate) fn contact(&mut self, client: usize, target: Target) {
        let Some(address) = self.address_in_service(client) else {
            return;
        };
        let promised = match target {
            Target::Native(_) => true,
            Target::Peer(peer) => {
                let nat = Plan::nat(self.number, client);
                promise(nat, Plan::nat(peer.region, peer.client)).binds(NatTraversal::default())
                    && (nat.behaviour.mapping == Mapping::EndpointIndependent
                        || server_of(address) == server_of(peer.address))
            }
        };
        self.open.last += 1;
        let number = self.open.last;
        let contact = Contact {
            asker: client,
            address,
            target,
            began: self.world.now(),
            asked: 0,
            promised,
        };
        self.open.by_number.insert(number, contact);
        self.open.count(target).began += 1;
        self.ask(number);
    }

    /// Asks once more, or gives up.
    pub(crate) fn ask(&mut self, number: u64) {
        let now = self.world.now();
        let Some(contact) = self.open.by_number.get_mut(&number) else {
            return;
        };
        if contact.asked >= QUESTIONS {
            return self.give_up(number);
        }
        contact.asked += 1;
        let contact = *contact;
        let destination = match contact.target {
            Target::Peer(peer) => peer.address,
            Target::Native(address) => address,
        };
        let mut question = Vec::new();
        emit_echo_request(
            contact.address,
            destination,
            64,
            number as u16,
            contact.asked.into(),
            &number.to_be_bytes(),
            &mut question,
        );
        self.world.send(self.clients[contact.asker], &question);
        self.tasks.push(now + PERIOD, Task::Ask(number));
    }

    fn give_up(&mut self, number: u64) {
        let Some(contact) = self.open.by_number.remove(&number) else {
            return;
        };
        let Contact {
            asker,
            address,
            target,
            began,
            promised,
            ..
        } = contact;
        if !promised {
            self.open.count(target).without_path += 1;
        } else if !self.served(asker, address, began) {
            self.open.count(target).disturbed += 1;
        } else if let Target::Peer(peer) = target {
            self.depart(peer.region, Traveller::Doubt(contact));
        } else {
            self.open.native.failed += 1;
            self.watch.borrow_mut().breach(began, || {
                format!("{address} had no answer from the native host {target:?}")
            });
        }
    }

    /// Judges a contact that had no answer from a client of this region.
    pub(crate) fn judge(&mut self, contact: Contact) {
        let Target::Peer(peer) = contact.target else {
            return;
        };
        if self.served(peer.client, peer.address, contact.began) {
            self.open.peers.failed += 1;
            self.watch.borrow_mut().breach(contact.began, || {
                format!("{} had no answer from {}", contact.address, peer.address)
            });
        } else {
            self.open.peers.disturbed += 1;
        }
    }

    /// A packet for the host of a client: a question is answered, and an answer ends the contact.
    pub(crate) fn deliver(&mut self, client: usize, bytes: &[u8]) {
        if let Some(reply) = packet::echo_reply(bytes) {
            self.world.send(self.clients[client], &reply);
            return;
        }
        let Some(number) = answered(bytes) else {
            return;
        };
        let is_own = |contact: &Contact| contact.asker == client;
        if self.open.by_number.get(&number).is_some_and(is_own)
            && let Some(contact) = self.open.by_number.remove(&number)
        {
            let took = self.world.now() - contact.began;
            let count = self.open.count(contact.target);
            count.talked += 1;
            count.longest_ms = count.longest_ms.max(took.as_millis() as u64);
            count.total_ms += took.as_millis() as u64;
        }
    }
}

/// The server in a Teredo address.
///
/// A client behind a symmetric NAT reaches peers of its own server only: another server sees it at another mapping than
/// that in its address, and must discard its bubble (RFC 4380 §5.3.1, rules 5 and 7). Figure 2 of RFC 6081 has two
/// servers, and does not say how that can work.
fn server_of(address: Ipv6Addr) -> Option<Ipv4Addr> {
    TeredoAddress::from_ipv6(address).map(|address| address.server)
}

/// The number of the contact that an answer belongs to.
fn answered(bytes: &[u8]) -> Option<u64> {
    let packet = Ipv6Packet::parse(bytes).ok()?;
    match Icmpv6::parse(&packet) {
        Ok(Icmpv6::EchoReply { data, .. }) => Some(u64::from_be_bytes(data.try_into().ok()?)),
        _ => None,
    }
}
