//! NATs by the names of RFC 4787's properties.

use std::fmt;
use std::str::FromStr;

use teredo_nat::{Filtering, Mapping, NatBehaviour, PortAssignment};

use super::NatKind;

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
/// # Ok::<(), teredo_lab::HomeNatError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeNat {
    /// A kind of NAT.
    Kind(NatKind),
    /// A NAT in user space with these properties, and one public address.
    Properties(NatBehaviour),
}

/// Why a text names no [`HomeNat`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HomeNatError {
    /// This word is neither a kind nor a property.
    #[error("{0:?} is no kind of NAT, and no property of one")]
    Unknown(String),
    /// A kind, with others beside it.
    #[error("{0} is a kind of NAT, and stands alone")]
    KindAmongProperties(NatKind),
    /// The same property twice.
    #[error("{0} is named twice")]
    Repeated(&'static str),
    /// Two properties that no NAT has at once.
    #[error("{0} and {1} exclude each other")]
    Contradiction(&'static str, &'static str),
}

/// The name of a property, its group if it has one, and how a NAT gets it.
type Property = (&'static str, Option<Group>, fn(&mut NatBehaviour));

/// Properties that exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Mapping,
    Filtering,
    Ports,
}

/// The properties (RFC 4787 §4.1, §4.2, §5 and §6).
const PROPERTIES: &[Property] = &[
    (
        "endpoint-independent-mapping",
        Some(Group::Mapping),
        |nat| {
            nat.mapping = Mapping::EndpointIndependent;
        },
    ),
    ("address-dependent-mapping", Some(Group::Mapping), |nat| {
        nat.mapping = Mapping::AddressDependent;
    }),
    (
        "address-and-port-dependent-mapping",
        Some(Group::Mapping),
        |nat| {
            nat.mapping = Mapping::AddressAndPortDependent;
        },
    ),
    (
        "endpoint-independent-filtering",
        Some(Group::Filtering),
        |nat| {
            nat.filtering = Filtering::EndpointIndependent;
        },
    ),
    (
        "address-dependent-filtering",
        Some(Group::Filtering),
        |nat| {
            nat.filtering = Filtering::AddressDependent;
        },
    ),
    (
        "address-and-port-dependent-filtering",
        Some(Group::Filtering),
        |nat| {
            nat.filtering = Filtering::AddressAndPortDependent;
        },
    ),
    ("port-preservation", Some(Group::Ports), |nat| {
        nat.ports = PortAssignment::Preserving;
    }),
    ("port-overloading", Some(Group::Ports), |nat| {
        nat.ports = PortAssignment::Overloading;
    }),
    ("sequential-ports", Some(Group::Ports), |nat| {
        nat.ports = PortAssignment::Sequential;
    }),
    ("sequential-ports-by-two", Some(Group::Ports), |nat| {
        nat.ports = PortAssignment::SequentialByTwo;
    }),
    ("random-ports", Some(Group::Ports), |nat| {
        nat.ports = PortAssignment::Random;
    }),
    ("port-parity", None, |nat| {
        nat.parity = true;
    }),
    ("hairpinning", None, |nat| {
        nat.hairpin = true;
    }),
    ("open-input", None, |nat| {
        nat.open_input = true;
    }),
];

impl HomeNat {
    /// The names of the properties.
    pub fn properties() -> impl Iterator<Item = &'static str> {
        PROPERTIES.iter().map(|(name, ..)| *name)
    }

    /// Whether it is of this kind.
    pub fn is(self, kind: NatKind) -> bool {
        self == Self::Kind(kind)
    }

    /// Whether its hosts may ask the router for ports.
    pub fn gives_ports(self) -> bool {
        matches!(self, Self::Kind(kind) if kind.gives_ports())
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
        let names = PROPERTIES.iter().filter(|(.., set)| {
            let mut changed = *behaviour;
            set(&mut changed);
            changed == *behaviour
        });
        let names: Vec<&str> = names.map(|(name, ..)| *name).collect();
        f.pad(&names.join(","))
    }
}

impl FromStr for HomeNat {
    type Err = HomeNatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(kind) = text.parse() {
            return Ok(Self::Kind(kind));
        }
        let mut behaviour = NatBehaviour::port_restricted();
        let mut named: Vec<(&'static str, Option<Group>)> = Vec::new();
        for word in text.split(',') {
            let Some((name, group, set)) = PROPERTIES.iter().find(|(name, ..)| *name == word)
            else {
                return Err(word.parse().map_or_else(
                    |_| HomeNatError::Unknown(word.to_owned()),
                    HomeNatError::KindAmongProperties,
                ));
            };
            if named.iter().any(|(other, _)| other == name) {
                return Err(HomeNatError::Repeated(name));
            }
            let mut others = named.iter().filter(|_| group.is_some());
            if let Some((other, _)) = others.find(|(_, of)| of == group) {
                return Err(HomeNatError::Contradiction(other, name));
            }
            named.push((name, *group));
            set(&mut behaviour);
        }
        Ok(Self::Properties(behaviour))
    }
}
