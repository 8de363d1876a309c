use netlink_packet_netfilter::nftables::{self, ChainAttribute, InetHookNumber};

use crate::TableName;

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
    /// Routes anew what it changed.
    Route,
}

/// Where in a packet's way a base chain is called.
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

/// What happens to a packet that no rule of a base chain decided on.
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
