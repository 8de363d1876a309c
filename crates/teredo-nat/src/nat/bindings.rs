//! The mappings of a NAT, to be found from inside and from outside.

use std::net::{Ipv4Addr, SocketAddrV4};

use teredo::Instant;

use crate::table::Table;

/// The key of a mapping from inside: the internal socket, and the part of the destination that the mapping depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) inside: SocketAddrV4,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) port: Option<u16>,
}

impl Key {
    /// The part of the destination as a socket, with port 0 for all ports of the address.
    pub(super) fn remote(&self) -> Option<SocketAddrV4> {
        self.address
            .map(|address| SocketAddrV4::new(address, self.port.unwrap_or(0)))
    }
}

/// The place of a mapping outside: its external socket and, if that is overloaded, the remote that it is for (with port
/// 0 for all ports of an address).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) external: SocketAddrV4,
    pub(super) only: Option<SocketAddrV4>,
}

impl Place {
    /// The place of a mapping that has the socket for itself.
    pub(super) fn whole(external: SocketAddrV4) -> Self {
        Self {
            external,
            only: None,
        }
    }

    /// The place of a mapping that shares the socket with those to other remotes, if its key depends on the remote.
    pub(super) fn shared(external: SocketAddrV4, key: &Key) -> Self {
        Self {
            external,
            only: key.remote(),
        }
    }

    /// Whether some remote could mean either of two places.
    fn overlaps(&self, other: &Self) -> bool {
        let shared = match (self.only, other.only) {
            (Some(one), Some(two)) => {
                let same_port = one.port() == two.port() || one.port() == 0 || two.port() == 0;
                one.ip() == two.ip() && same_port
            }
            _ => true,
        };
        self.external == other.external && shared
    }
}

/// A mapping.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) inside: SocketAddrV4,
    /// `None`: a port forward, which never expires and admits any sender.
    pub(super) key: Option<Key>,
    /// When each destination was last sent to (or heard, if that counts).
    pub(super) sessions: Table<SocketAddrV4, Instant>,
    /// When the mapping itself was last refreshed.
    pub(super) refreshed: Instant,
}

impl Binding {
    pub(super) fn is_forward(&self) -> bool {
        self.key.is_none()
    }
}

/// The mappings of a NAT. Its ports bound their number.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    places: Table<Place, Binding>,
    /// The place of each mapping that a datagram from inside made.
    keys: Table<Key, Place>,
    /// The place of each socket with a port forward.
    forwards: Table<SocketAddrV4, Place>,
}

impl Bindings {
    pub(super) fn get(&self, place: &Place) -> Option<&Binding> {
        self.places.get(place)
    }

    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Binding> {
        self.places.get_mut(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.places.iter().map(|(_, binding)| binding)
    }

    /// The place of the mapping of a key.
    pub(super) fn of(&self, key: &Key) -> Option<Place> {
        self.keys.get(key).copied()
    }

    /// The place of the port forward of a socket.
    pub(super) fn forward_of(&self, inside: SocketAddrV4) -> Option<Place> {
        self.forwards.get(&inside).copied()
    }

    /// The place at which a datagram from `from` to `external` finds its mapping.
    pub(super) fn at(&self, external: SocketAddrV4, from: SocketAddrV4) -> Option<Place> {
        let whole_address = SocketAddrV4::new(*from.ip(), 0);
        let places = [Some(from), Some(whole_address), None].map(|only| Place { external, only });
        places.into_iter().find(|place| self.places.contains(place))
    }

    /// The mappings that are in the way of one at `place`.
    pub(super) fn in_the_way(&self, place: Place) -> impl Iterator<Item = (Place, &Binding)> {
        let last = SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX);
        let (whole, others) = (
            Place::whole(place.external),
            Place {
                external: place.external,
                only: Some(last),
            },
        );
        self.places
            .range(whole, others)
            .filter(move |(found, _)| place.overlaps(found))
            .map(|(found, binding)| (*found, binding))
    }

    /// The mappings at an external socket.
    pub(super) fn at_socket(&self, external: SocketAddrV4) -> impl Iterator<Item = &Binding> {
        self.in_the_way(Place::whole(external))
            .map(|(_, binding)| binding)
    }

    /// The number of mappings of an inside host, port forwards aside.
    pub(super) fn of_host(&self, host: Ipv4Addr) -> usize {
        let (first, last) = keys(host, 0, u16::MAX);
        self.keys.range(first, last).count()
    }

    /// The mappings of an inside host, port forwards aside.
    pub(super) fn of_host_with_places(
        &self,
        host: Ipv4Addr,
    ) -> impl Iterator<Item = (Place, &Binding)> {
        self.between(keys(host, 0, u16::MAX))
    }

    /// The mappings of an inside socket.
    pub(super) fn of_socket(
        &self,
        inside: SocketAddrV4,
    ) -> impl Iterator<Item = (Place, &Binding)> {
        let forward = self.forward_of(inside).into_iter();
        let forward = forward.filter_map(|place| Some((place, self.places.get(&place)?)));
        forward.chain(self.between(keys(*inside.ip(), inside.port(), inside.port())))
    }

    fn between(&self, (first, last): (Key, Key)) -> impl Iterator<Item = (Place, &Binding)> {
        let places = self.keys.range(first, last).map(|(_, place)| *place);
        places.filter_map(|place| Some((place, self.places.get(&place)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn insert(&mut self, place: Place, binding: Binding) {
        match binding.key {
            Some(key) => self.keys.insert(key, place),
            None => self.forwards.insert(binding.inside, place),
        };
        self.places.insert(place, binding);
    }

    pub(super) fn remove(&mut self, place: &Place) {
        match self.places.remove(place) {
            Some(Binding { key: Some(key), .. }) => self.keys.remove(&key),
            Some(Binding { inside, .. }) => self.forwards.remove(&inside),
            None => None,
        };
    }

    /// Removes all mappings at an external socket.
    pub(super) fn clear(&mut self, place: Place) {
        loop {
            let next = self.in_the_way(place).next().map(|(found, _)| found);
            match next {
                Some(found) => self.remove(&found),
                None => break,
            }
        }
    }

    /// Removes all but port forwards.
    pub(super) fn forget(&mut self) {
        self.places.retain(|_, binding| binding.is_forward());
        self.keys.clear();
    }

    /// Moves the port forwards to another external address, and removes all else.
    pub(super) fn move_to(&mut self, external: Ipv4Addr) {
        self.forget();
        let forwards: Vec<_> = self.forwards.iter().map(|(_, place)| *place).collect();
        for place in forwards {
            if let Some(binding) = self.places.remove(&place) {
                let moved = SocketAddrV4::new(external, place.external.port());
                self.insert(Place::whole(moved), binding);
            }
        }
    }
}

/// The lowest and the highest key of the sockets of a host with ports from `first` to `last`.
fn keys(host: Ipv4Addr, first: u16, last: u16) -> (Key, Key) {
    let first = Key {
        inside: SocketAddrV4::new(host, first),
        address: None,
        port: None,
    };
    let last = Key {
        inside: SocketAddrV4::new(host, last),
        address: Some(Ipv4Addr::BROADCAST),
        port: Some(u16::MAX),
    };
    (first, last)
}
