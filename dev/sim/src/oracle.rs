//! The pairs of NATs that some protocol can connect.
//!
//! A protocol that fails on a pair that the oracle calls possible has something to learn; one that fails on an
//! impossible pair has not. The rules here are derived by reasoning, and the tests compare them with a search through
//! all short sequences of datagrams in the model of NATs.
//!
//! The oracle assumes that each side is behind a NAT of its own, has asked a server for its mapping, may open any
//! number of sockets and send any datagrams, also ones whose time to live ends before the other NAT, and tells the
//! other side all it knows through the servers. Nothing else uses the NATs, nothing is lost, and no mapping expires. A
//! path is there if datagrams arrive in both directions; the two directions need not have the same sockets.

use crate::nat::{Filtering, Igd, Mapping, NatBehaviour, Pooling, PortAssignment};

/// The answer to the question whether two sides can reach each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Possibility {
    /// Yes, with the right datagrams in the right order.
    Always,
    /// Only if one side guesses a random port of the other.
    Chance {
        /// The probability that one pair of datagrams, one of each side, meets.
        odds: f64,
        /// Whether each datagram of one side may meet each of the other, so that twice as many datagrams have four
        /// times the chances, as with birthdays. Otherwise each has one counterpart.
        crossed: bool,
    },
    /// No.
    Never,
}

impl Possibility {
    /// The probability that the sides connect if each sends `probes` datagrams, each to another guess or from another
    /// socket. It is of the simplest strategy, and so the least.
    pub fn probability(self, probes: u32) -> f64 {
        match self {
            Self::Always => 1.0,
            Self::Chance { odds, crossed } => {
                let probes = f64::from(probes);
                let pairs = if crossed { probes * probes } else { probes };
                // 1 - (1 - odds)^pairs, which is exact for small odds too.
                -(pairs * (-odds).ln_1p()).exp_m1()
            }
            Self::Never => 0.0,
        }
    }
}

/// Whether two hosts behind two NATs can exchange datagrams. A host asks an honest Internet Gateway Device for a port,
/// which then is open to all.
///
/// ```
/// use teredo_sim::{NatBehaviour, Possibility, path};
///
/// let (restricted, random) = (NatBehaviour::restricted(), NatBehaviour::symmetric_random());
/// assert_eq!(path(&restricted, &random), Possibility::Always);
/// let guessed = path(&NatBehaviour::port_restricted(), &random);
/// assert!((0.6..0.7).contains(&guessed.probability(256)));
/// ```
pub fn path(a: &NatBehaviour, b: &NatBehaviour) -> Possibility {
    let (a, b) = (Side::of(a), Side::of(b));
    if !a.reaches_out || !b.reaches_out {
        return Possibility::Never;
    }
    if delivers(&a, &b) && delivers(&b, &a) {
        return Possibility::Always;
    }
    match (a.predictable, b.predictable) {
        // Both guess, and both must be right about the same pair of datagrams.
        (false, false) => Possibility::Chance {
            odds: 1.0 / (a.sockets * b.sockets),
            crossed: true,
        },
        (true, _) => guess(&a, &b),
        (false, true) => guess(&b, &a),
    }
}

/// The predictable side guesses the port of the other. It sends all guesses from one external socket if it has one
/// towards all ports of the other: then each guess may meet each mapping that the other makes towards it. Otherwise
/// each guess leaves from another socket, which one mapping of the other is for.
fn guess(predictable: &Side, random: &Side) -> Possibility {
    Possibility::Chance {
        odds: 1.0 / random.sockets,
        crossed: predictable.single,
    }
}

/// The properties of a NAT that decide.
struct Side {
    /// How strictly it filters, also because of how it finds mappings.
    filtering: Filtering,
    /// Whether the external socket of the next mapping is known before it is made: from a server's answer if it is the
    /// same for all, and otherwise from the rule of its assignment.
    predictable: bool,
    /// Whether a socket has one external socket towards all ports of the other side's address.
    single: bool,
    /// The number of external sockets that a random one is among.
    sockets: f64,
    /// Whether it has a mapping left for the other side beside that for the server.
    reaches_out: bool,
}

impl Side {
    fn of(nat: &NatBehaviour) -> Self {
        let independent = !nat.translates || nat.mapping == Mapping::EndpointIndependent;
        let overloads = !independent && nat.ports == PortAssignment::Overloading;
        // An overloaded socket finds its mapping by the sender, and so admits only remotes that were sent to.
        let least = match nat.mapping {
            _ if !overloads => Filtering::EndpointIndependent,
            Mapping::EndpointIndependent => Filtering::EndpointIndependent,
            Mapping::AddressDependent => Filtering::AddressDependent,
            Mapping::AddressAndPortDependent => Filtering::AddressAndPortDependent,
        };
        let addresses = match nat.pooling {
            Pooling::Paired => 1,
            Pooling::Arbitrary => nat.addresses.max(1),
        };
        let random = nat.ports == PortAssignment::Random || addresses > 1;
        let sockets = f64::from(nat.range.size()) * f64::from(addresses);
        let mappings = nat.most_per_host.map_or(sockets, f64::from).min(sockets);
        let grants = matches!(nat.igd, Some(Igd::Honest | Igd::Lies(_)));
        Self {
            filtering: match grants {
                true => Filtering::EndpointIndependent,
                false => nat.filtering.max(least),
            },
            predictable: independent || !random,
            single: independent || overloads || nat.mapping == Mapping::AddressDependent,
            sockets,
            reaches_out: mappings >= 2.0
                || (independent || overloads && nat.most_per_host.is_none()) && mappings >= 1.0,
        }
    }
}

/// Whether datagrams of `from` reach `to` for certain.
fn delivers(from: &Side, to: &Side) -> bool {
    match to.filtering {
        // The mapping towards the server is known, and open to all.
        Filtering::EndpointIndependent => true,
        // `to` opens a mapping for the address of `from` with a datagram to any of its ports. If its port is not known,
        // a datagram from it must reach `from` first, which shows the port: `from` admits that if it is open to all, or
        // to the address of `to` at a known port.
        Filtering::AddressDependent => {
            to.predictable
                || match from.filtering {
                    Filtering::EndpointIndependent => true,
                    Filtering::AddressDependent => from.predictable,
                    Filtering::AddressAndPortDependent => false,
                }
        }
        // `to` must have sent to the very socket from which `from` will send, and so must know that beforehand.
        Filtering::AddressAndPortDependent => match (from.predictable, to.predictable) {
            // Both open their mappings with a datagram to the other's next one, and send again.
            (true, true) => true,
            // A datagram of `to` shows its port, if `from` admits it. `from` answers from the same socket if it has one
            // towards all ports of `to`; or `to` sends from the same socket to the next one of `from`, if it has one.
            (true, false) => {
                let shows = from.filtering != Filtering::AddressAndPortDependent;
                shows && (from.single || to.single)
            }
            (false, _) => false,
        },
    }
}

#[cfg(test)]
mod tests;
