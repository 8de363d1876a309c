//! Whether a pair of NATs leaves a path between two clients. The rule agrees with docs/nat-matrix.md without losses.
//!
//! The matrix is found by simulation, and this is its rule. The tests compare the two, cell by cell.

use teredo::client::NatTraversal;
use teredo_lab::{HomeNat, NatKind};
use teredo_nat::{Filtering, Igd, Mapping, NatBehaviour, Pooling, PortAssignment};

/// The cells whose path hangs on the order in which the NAT takes its addresses.
const BY_ORDER: [NatKind; 2] = [NatKind::AddressSymmetric, NatKind::Restricted];

/// A path between two clients: datagrams of each reach the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// There is one.
    Direct,
    /// There is none.
    None,
}

impl Path {
    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::None => "none",
        }
    }
}

/// The statement of the matrix about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// There is a path, or there is none.
    Sure(Path),
    /// The two meet if one of them guesses a port of the other, which takes luck.
    Guess,
    /// The matrix does not have this pair, and no rule of RFC 6081 promises a path.
    Unknown,
}

impl Expectation {
    /// The path that is sure.
    pub(crate) const fn path(self) -> Option<Path> {
        match self {
            Self::Sure(path) => Some(path),
            Self::Guess | Self::Unknown => None,
        }
    }
}

/// Whether the matrix has a row for this NAT. Its rule is good for further ones.
pub(crate) fn is_listed(nat: HomeNat) -> bool {
    const OTHERS: [NatKind; 2] = [NatKind::Carrier, NatKind::Hairpin];
    matches!(nat, HomeNat::Kind(kind) if !OTHERS.contains(&kind))
}

/// The path of a client behind `from` to one behind `to`, if the first one sends first.
pub(crate) fn expected(from: HomeNat, to: HomeNat, mode: NatTraversal) -> Expectation {
    let are_plain = ![from, to].iter().any(|nat| is_symmetric(&nat.behaviour()));
    if mode == NatTraversal::Rfc4380 {
        // Behind a symmetric NAT there is no service (RFC 4380 §5.2.1).
        return Expectation::Sure(if are_plain { Path::Direct } else { Path::None });
    }
    if [from, to] == BY_ORDER.map(HomeNat::Kind) {
        return Expectation::Sure(Path::Direct);
    }
    let nats = [Side::of(&from.behaviour()), Side::of(&to.behaviour())];
    let [a, b] = &nats;
    if reaches(a, b) && reaches(b, a) || by_random_ports(a, b) {
        return Expectation::Sure(Path::Direct);
    }
    if mode == NatTraversal::Eager && (may_guess(a, b) || may_guess(b, a)) {
        return Expectation::Guess;
    }
    let is_kind = |nat| matches!(nat, HomeNat::Kind(_));
    match is_kind(from) && is_kind(to) {
        true => Expectation::Sure(Path::None),
        false => Expectation::Unknown,
    }
}

/// Whether the other end of a NAT sees another mapping than the server does.
pub(crate) fn is_symmetric(nat: &NatBehaviour) -> bool {
    // A NAT that overloads one port does not look so.
    nat.mapping != Mapping::EndpointIndependent && nat.ports != PortAssignment::Overloading
}

/// The properties of a NAT that decide.
struct Side {
    is_symmetric: bool,
    /// A gateway gave the port.
    is_open: bool,
    filtering: Filtering,
    /// All mappings have one address.
    has_one_address: bool,
    ports: Ports,
}

/// How well the peer foresees the external port of a new socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ports {
    /// It is that of the first mapping, or the one inside (RFC 6081 §5.4).
    Certain,
    /// It is the next one (RFC 6081 §5.5).
    InSequence,
    /// It is not foreseen. So it is with a port that a gateway gave: the client of such a NAT does not look for another
    /// way (RFC 6081 §5.3).
    Unforeseen,
}

impl Side {
    fn of(nat: &NatBehaviour) -> Self {
        let is_symmetric = is_symmetric(nat);
        let is_open = matches!(nat.igd, Some(Igd::Honest));
        let has_one_address = nat.addresses == 1 || nat.pooling == Pooling::Paired;
        let ports = match nat.ports {
            _ if !is_symmetric => Ports::Certain,
            _ if is_open || !has_one_address => Ports::Unforeseen,
            PortAssignment::Preserving | PortAssignment::Overloading => Ports::Certain,
            PortAssignment::Sequential | PortAssignment::SequentialByTwo => Ports::InSequence,
            PortAssignment::Random => Ports::Unforeseen,
        };
        // Hosts share a port that is overloaded: only a sender for which there is a mapping finds one of them.
        let by_sharing = match (nat.ports, nat.mapping) {
            (PortAssignment::Overloading, Mapping::AddressDependent) => Filtering::AddressDependent,
            (PortAssignment::Overloading, Mapping::AddressAndPortDependent) => {
                Filtering::AddressAndPortDependent
            }
            _ => Filtering::EndpointIndependent,
        };
        let filtering = match is_open {
            true => Filtering::EndpointIndependent,
            false => nat.filtering.max(by_sharing),
        };
        Self {
            is_symmetric,
            is_open,
            filtering,
            has_one_address,
            ports,
        }
    }
}

/// Whether datagrams get in that are sent to the known mapping, once the client behind `to` has sent to the known mapping of
/// `from` (RFC 6081 §3.1).
fn reaches(from: &Side, to: &Side) -> bool {
    match to.filtering {
        Filtering::EndpointIndependent => true,
        Filtering::AddressDependent => !from.is_symmetric || from.has_one_address,
        Filtering::AddressAndPortDependent => !from.is_symmetric,
    }
}

/// Whether random ports help. The client that speaks first tells its own, and so must know it for certain if the peer's is
/// not (RFC 6081 §3.3, §3.4: a sequential NAT meets a port-restricted one, or one that preserves ports and speaks first).
fn by_random_ports(from: &Side, to: &Side) -> bool {
    match (from.ports, to.ports) {
        (Ports::Certain, other) => other != Ports::Unforeseen,
        (Ports::InSequence, Ports::Certain) => !to.is_symmetric,
        _ => false,
    }
}

/// Whether the client behind `looks` finds one of many ports that the other one has opened for it (`teredo::client`, the
/// birthday method): its own port is known for certain, and the other's is not foreseen.
fn may_guess(looks: &Side, opens: &Side) -> bool {
    !looks.is_symmetric
        && looks.filtering != Filtering::EndpointIndependent
        && opens.ports == Ports::Unforeseen
        && !opens.is_open
}

#[cfg(test)]
mod tests;
