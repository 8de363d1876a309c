use std::{fmt, str::FromStr};

use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{self, ChainAttribute, InetHookNumber, TableAttribute, TableMessage},
};

use crate::comment;

/// The address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ARP.
    Arp,
    /// Bridged frames.
    Bridge,
    /// The ingress and egress of a device.
    Netdev,
}

impl Family {
    const NAMES: [(Self, &str); 6] = [
        (Self::Inet, "inet"),
        (Self::Ip, "ip"),
        (Self::Ip6, "ip6"),
        (Self::Arp, "arp"),
        (Self::Bridge, "bridge"),
        (Self::Netdev, "netdev"),
    ];

    pub(crate) fn protocol(self) -> NetfilterProtoFamily {
        match self {
            Self::Inet => NetfilterProtoFamily::Inet,
            Self::Ip => NetfilterProtoFamily::IPv4,
            Self::Ip6 => NetfilterProtoFamily::IPv6,
            Self::Arp => NetfilterProtoFamily::ARP,
            Self::Bridge => NetfilterProtoFamily::Bridge,
            Self::Netdev => NetfilterProtoFamily::NetDev,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(family, _)| family == self)
            .map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(family, _)| *family)
            .ok_or_else(|| UnknownFamily(text.to_owned()))
    }
}

/// A text that names no address family of nftables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no family of nftables: expected inet, ip, ip6, arp, bridge or netdev")]
pub struct UnknownFamily(String);

/// A table by its family and name, as in `inet filter`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The family.
    pub family: Family,
    /// The name, at most 255 bytes without NUL.
    pub name: String,
}

impl TableName {
    /// Names a table.
    pub fn new(family: Family, name: impl Into<String>) -> Self {
        Self {
            family,
            name: name.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// How a table is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableFlags {
    /// Bind the table to the [`Netlink`](crate::Netlink) that creates it (`NFT_TABLE_F_OWNER`,
    /// Linux 5.12).
    ///
    /// No other socket can change or flush it, and the kernel removes it when that socket closes,
    /// however the process ends.
    pub owner: bool,
    /// Create the table without effect (`NFT_TABLE_F_DORMANT`).
    pub dormant: bool,
}

impl TableFlags {
    /// The flags of a table that belongs to its socket.
    pub const OWNER: Self = Self {
        owner: true,
        dormant: false,
    };

    pub(crate) fn bits(self) -> nftables::TableFlags {
        let mut bits = nftables::TableFlags::empty();
        bits.set(nftables::TableFlags::Owner, self.owner);
        bits.set(nftables::TableFlags::Dormant, self.dormant);
        bits
    }
}

/// A table in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableInfo {
    /// The netlink port of the socket that owns the table, usually the process ID of its program.
    pub owner: Option<u32>,
    /// The comment that it was given.
    pub comment: Option<String>,
    /// Whether it is without effect: its chains are there, and no packet meets them.
    pub dormant: bool,
}

impl From<&TableMessage> for TableInfo {
    fn from(message: &TableMessage) -> Self {
        let (mut owner, mut comment, mut dormant) = (None, None, false);
        for attribute in &message.attributes {
            match attribute {
                TableAttribute::Owner(port) => owner = Some(*port),
                TableAttribute::UserData(data) => comment = comment::decode(data),
                TableAttribute::Flags(flags) => {
                    dormant = flags.contains(nftables::TableFlags::Dormant);
                }
                _ => {}
            }
        }
        Self {
            owner,
            comment,
            dormant,
        }
    }
}

/// A chain: a regular one that rules jump to, or a base chain that is called at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    name: String,
    base: Option<Base>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    kind: ChainKind,
    hook: Hook,
    priority: i32,
    policy: Policy,
}

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainKind {
    /// Filters packets.
    Filter,
    /// Sees the first packet of each flow and decides on its translation.
    Nat,
    /// Routes packets again after it has changed them.
    Route,
}

/// The place on a packet's way at which a base chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After the routing decision.
    Postrouting,
}

/// The verdict on packets that no rule of a base chain decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It goes on to the next base chain of the hook.
    #[default]
    Accept,
    /// It is dropped, whatever other chains say.
    Drop,
}

impl Chain {
    /// A regular chain.
    pub fn regular(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base: None,
        }
    }

    /// A base chain with the policy [`Policy::Accept`].
    ///
    /// Chains of one hook run in the order of their priority; `filter` is 0, `dstnat` -100,
    /// `srcnat` 100.
    pub fn base(name: impl Into<String>, kind: ChainKind, hook: Hook, priority: i32) -> Self {
        let base = Base {
            kind,
            hook,
            priority,
            policy: Policy::Accept,
        };
        Self {
            name: name.into(),
            base: Some(base),
        }
    }

    /// Sets the policy of a base chain; a regular chain has none and stays as it is.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        if let Some(base) = &mut self.base {
            base.policy = policy;
        }
        self
    }

    pub(crate) fn attributes(&self, table: &TableName) -> Vec<ChainAttribute> {
        let mut attributes = vec![
            ChainAttribute::Table(table.name.clone()),
            ChainAttribute::Name(self.name.clone()),
        ];
        if let Some(base) = self.base {
            attributes.extend([
                ChainAttribute::Hook(vec![
                    nftables::Hook::Number(base.hook.number().into()),
                    nftables::Hook::Priority(base.priority.cast_unsigned()),
                ]),
                ChainAttribute::Policy(base.policy.number()),
                ChainAttribute::Type(base.kind.name().to_owned()),
            ]);
        }
        attributes
    }
}

impl ChainKind {
    fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

impl Hook {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        let all = [
            Self::Prerouting,
            Self::Input,
            Self::Forward,
            Self::Output,
            Self::Postrouting,
        ];
        all.into_iter()
            .find(|hook| u32::from(hook.number()) == number)
    }

    fn number(self) -> InetHookNumber {
        match self {
            Self::Prerouting => InetHookNumber::PreRouting,
            Self::Input => InetHookNumber::LocalIn,
            Self::Forward => InetHookNumber::Forward,
            Self::Output => InetHookNumber::LocalOut,
            Self::Postrouting => InetHookNumber::PostRouting,
        }
    }
}

impl Policy {
    fn number(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
        }
    }
}
