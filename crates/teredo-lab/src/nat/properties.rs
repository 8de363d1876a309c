//! NATs by the names of RFC 4787's properties.

use std::fmt;
use std::str::FromStr;

use teredo_nat::{Filtering, Mapping, NatBehaviour, PortAssignment};

use super::{NatKind, UnknownNatKind};

/// The NAT of a home: of a [kind](NatKind) with a name, or with any properties.
///
/// In text, properties are joined with commas. Those that are not named are those of a port-restricted NAT.
///
/// ```
/// use teredo_lab::{HomeNat, NatKind};
/// assert_eq!("cone".parse(), Ok(HomeNat::Kind(NatKind::Cone)));
///
/// let nat: HomeNat = "address-dependent-mapping,random-ports".parse()?;
/// assert!(nat.to_string().contains("address-and-port-dependent-filtering"));
/// # Ok::<(), teredo_lab::UnknownNatKind>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeNat {
    /// A kind of NAT.
    Kind(NatKind),
    /// A NAT in user space with these properties, and one public address.
    Properties(NatBehaviour),
}

/// A property's name, and how a NAT gets it.
type Property = (&'static str, fn(&mut NatBehaviour));

/// The names of the properties (RFC 4787 §4.1, §4.2, §5 and §6), those that exclude each other side by side.
const PROPERTIES: &[Property] = &[
    ("endpoint-independent-mapping", |nat| {
        nat.mapping = Mapping::EndpointIndependent;
    }),
    ("address-dependent-mapping", |nat| {
        nat.mapping = Mapping::AddressDependent;
    }),
    ("address-and-port-dependent-mapping", |nat| {
        nat.mapping = Mapping::AddressAndPortDependent;
    }),
    ("endpoint-independent-filtering", |nat| {
        nat.filtering = Filtering::EndpointIndependent;
    }),
    ("address-dependent-filtering", |nat| {
        nat.filtering = Filtering::AddressDependent;
    }),
    ("address-and-port-dependent-filtering", |nat| {
        nat.filtering = Filtering::AddressAndPortDependent;
    }),
    ("port-preservation", |nat| {
        nat.ports = PortAssignment::Preserving;
    }),
    ("port-overloading", |nat| {
        nat.ports = PortAssignment::Overloading;
    }),
    ("sequential-ports", |nat| {
        nat.ports = PortAssignment::Sequential;
    }),
    ("sequential-ports-by-two", |nat| {
        nat.ports = PortAssignment::SequentialByTwo;
    }),
    ("random-ports", |nat| nat.ports = PortAssignment::Random),
    ("port-parity", |nat| nat.parity = true),
    ("hairpinning", |nat| nat.hairpin = true),
    ("open-input", |nat| nat.open_input = true),
];

impl HomeNat {
    /// The names of the properties.
    pub fn properties() -> impl Iterator<Item = &'static str> {
        PROPERTIES.iter().map(|(name, _)| *name)
    }

    /// Whether it is of this kind.
    pub fn is(self, kind: NatKind) -> bool {
        self == Self::Kind(kind)
    }

    /// The properties of the NAT that the Internet sees, as the simulator has them.
    pub fn behaviour(self) -> NatBehaviour {
        match self {
            Self::Kind(kind) => kind.behaviour(),
            Self::Properties(behaviour) => behaviour,
        }
    }
}

impl Default for HomeNat {
    fn default() -> Self {
        Self::Kind(NatKind::default())
    }
}

impl From<NatKind> for HomeNat {
    fn from(kind: NatKind) -> Self {
        Self::Kind(kind)
    }
}

impl fmt::Display for HomeNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behaviour = match self {
            Self::Kind(kind) => return kind.fmt(f),
            Self::Properties(behaviour) => behaviour,
        };
        // A property that changes nothing is there.
        let names = PROPERTIES.iter().filter(|(_, set)| {
            let mut changed = *behaviour;
            set(&mut changed);
            changed == *behaviour
        });
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        f.pad(&names.join(","))
    }
}

impl FromStr for HomeNat {
    type Err = UnknownNatKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(kind) = text.parse() {
            return Ok(Self::Kind(kind));
        }
        let mut behaviour = NatBehaviour::port_restricted();
        for name in text.split(',') {
            let (_, set) = (PROPERTIES.iter().find(|(known, _)| *known == name))
                .ok_or_else(|| UnknownNatKind(name.to_owned()))?;
            set(&mut behaviour);
        }
        Ok(Self::Properties(behaviour))
    }
}
