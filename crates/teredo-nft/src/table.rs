use std::{fmt, str::FromStr};

use netlink_packet_netfilter::{
    NetfilterProtoFamily,
    nftables::{self, TableAttribute, TableMessage},
};

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
    /// Nobody else can change or flush it, and the kernel removes it when that socket closes,
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

/// What the kernel says about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableInfo {
    /// The netlink port of the socket that owns the table, usually the process ID of its program.
    pub owner: Option<u32>,
}

impl From<&TableMessage> for TableInfo {
    fn from(message: &TableMessage) -> Self {
        let owner = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                TableAttribute::Owner(port) => Some(*port),
                _ => None,
            });
        Self { owner }
    }
}
