//! The kinds of faults: their names, their lengths, and the time within which service must be back.

use std::time::Duration;

/// A program that a fault may hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Alice's client, to which the invariants apply.
    Client,
    /// The firewall agent on Alice's host.
    Agent,
    Relay,
    Server,
    /// Bob's client: the peer, which also sends unsolicited packets.
    Peer,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [
        Self::Client,
        Self::Agent,
        Self::Relay,
        Self::Server,
        Self::Peer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Agent => "firewall",
            Self::Relay => "relay",
            Self::Server => "server",
            Self::Peer => "peer",
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// SIGKILL, and nothing is left in the descriptor store.
    Killed(Role),
    /// SIGKILL of the client; the supervisor has kept interface and port.
    ClientKilledKept,
    /// SIGSTOP for a while.
    Stopped(Role),
    /// An operator's `teredo rebind`.
    PortChanged,
    NatRebinding,
    NatReboot,
    PublicAddress,
    LinkDown,
    LocalAddress,
    /// The tunnel interface is set down, or loses its addresses or its routes.
    TunnelWiped,
    /// The resolver is silent, and the client starts anew meanwhile.
    NameService,
    /// The server's name has another address, and the old one is silent.
    ServerMoved,
    /// The server is away for a while.
    ServerLost,
    RulesetFlushed,
    RulesetReloaded,
    /// The host's own rules refuse its datagrams: EPERM.
    SendsRefused,
    /// The host's queue is full: nearly every datagram is dropped.
    QueueFull,
    /// No space in the state folder.
    DiskFull,
    /// No descriptor left.
    Descriptors(Role),
    /// No memory left.
    Memory(Role),
    /// A share of all datagrams is lost.
    Loss,
    /// A slow link with a long queue.
    Delay,
}

/// The longest a router, a cable or a name service is away.
const AWAY: (u32, u32) = (2, 6);

impl Kind {
    /// All of them: a round of the plan has each once.
    pub(crate) const ALL: [Self; 32] = [
        Self::Killed(Role::Client),
        Self::Killed(Role::Agent),
        Self::Killed(Role::Relay),
        Self::Killed(Role::Server),
        Self::Killed(Role::Peer),
        Self::ClientKilledKept,
        Self::Stopped(Role::Client),
        Self::Stopped(Role::Agent),
        Self::Stopped(Role::Relay),
        Self::Stopped(Role::Server),
        Self::Stopped(Role::Peer),
        Self::PortChanged,
        Self::NatRebinding,
        Self::NatReboot,
        Self::PublicAddress,
        Self::LinkDown,
        Self::LocalAddress,
        Self::TunnelWiped,
        Self::NameService,
        Self::ServerMoved,
        Self::ServerLost,
        Self::RulesetFlushed,
        Self::RulesetReloaded,
        Self::SendsRefused,
        Self::QueueFull,
        Self::DiskFull,
        Self::Descriptors(Role::Client),
        Self::Descriptors(Role::Agent),
        Self::Memory(Role::Client),
        Self::Memory(Role::Agent),
        Self::Loss,
        Self::Delay,
    ];

    /// The name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed(Role::Client) => "client-killed",
            Self::Killed(Role::Agent) => "firewall-killed",
            Self::Killed(Role::Relay) => "relay-killed",
            Self::Killed(Role::Server) => "server-killed",
            Self::Killed(Role::Peer) => "peer-killed",
            Self::ClientKilledKept => "client-killed-kept",
            Self::Stopped(Role::Client) => "client-stopped",
            Self::Stopped(Role::Agent) => "firewall-stopped",
            Self::Stopped(Role::Relay) => "relay-stopped",
            Self::Stopped(Role::Server) => "server-stopped",
            Self::Stopped(Role::Peer) => "peer-stopped",
            Self::PortChanged => "port-changed",
            Self::NatRebinding => "nat-rebinding",
            Self::NatReboot => "nat-reboot",
            Self::PublicAddress => "public-address",
            Self::LinkDown => "link-down",
            Self::LocalAddress => "local-address",
            Self::TunnelWiped => "tunnel-wiped",
            Self::NameService => "name-service",
            Self::ServerMoved => "server-moved",
            Self::ServerLost => "server-lost",
            Self::RulesetFlushed => "ruleset-flushed",
            Self::RulesetReloaded => "ruleset-reloaded",
            Self::SendsRefused => "sends-refused",
            Self::QueueFull => "queue-full",
            Self::DiskFull => "disk-full",
            Self::Descriptors(Role::Agent) => "firewall-descriptors",
            Self::Descriptors(_) => "client-descriptors",
            Self::Memory(Role::Agent) => "firewall-memory",
            Self::Memory(_) => "client-memory",
            Self::Loss => "loss",
            Self::Delay => "delay",
        }
    }

    /// The program that it kills for certain.
    pub(crate) const fn kills(self) -> Option<Role> {
        match self {
            Self::Killed(role) => Some(role),
            Self::ClientKilledKept | Self::NameService => Some(Role::Client),
            Self::ServerMoved | Self::ServerLost => Some(Role::Server),
            _ => None,
        }
    }

    /// Whether the program may end by it: it is killed, or has no memory.
    pub(crate) fn may_end(self, role: Role) -> bool {
        self.kills() == Some(role) || self == Self::Memory(role)
    }

    /// The shortest and the longest time that it lasts, in tenths of a second.
    pub(crate) const fn lasts(self) -> (u32, u32) {
        let (shortest, longest) = match self {
            Self::Stopped(_) => (1, 8),
            Self::NatReboot | Self::LinkDown => AWAY,
            Self::NameService => AWAY,
            Self::ServerLost => (3, 15),
            Self::RulesetFlushed => (0, 2),
            Self::SendsRefused | Self::QueueFull => (1, 6),
            Self::DiskFull | Self::Descriptors(_) | Self::Memory(_) => (2, 5),
            Self::Loss | Self::Delay => (4, 12),
            _ => return (0, 0),
        };
        (shortest * 10, longest * 10)
    }

    /// Whether the operator's `rebind` may fall into it: the port changes while something is wrong.
    pub(crate) const fn may_rebind(self) -> bool {
        matches!(
            self,
            Self::Stopped(Role::Agent | Role::Relay | Role::Server | Role::Peer)
                | Self::ServerLost
                | Self::RulesetFlushed
                | Self::DiskFull
                | Self::Descriptors(_)
                | Self::Memory(_)
                | Self::Loss
                | Self::Delay
        )
    }

    /// The time within which service must be back after a fault of this length is over, and the reason.
    pub(crate) fn bound(self, length: Duration) -> (Duration, &'static str) {
        let (seconds, reason) = match self {
            Self::Killed(Role::Client | Role::Peer) => (
                10,
                "restart after 0.3 s, one qualification, two datagrams of which may be lost (4 s each)",
            ),
            Self::ClientKilledKept => (
                3,
                "restart after 0.3 s with the kept port; subscribers come back within 1 s",
            ),
            Self::Killed(Role::Agent) => (
                3,
                "restart after 0.3 s; the agent's first look at port and rules",
            ),
            Self::Killed(Role::Relay | Role::Server) => (
                5,
                "restart after 0.3 s; a peer is asked again every 2 s until it answers",
            ),
            Self::Stopped(Role::Client | Role::Peer) => (
                6,
                "a refresh is overdue and sent at once; a peer is asked again every 2 s",
            ),
            Self::Stopped(Role::Agent) => (
                3,
                "the agent looks at the port and the rules every second at most",
            ),
            Self::Stopped(Role::Relay) => (5, "a peer is asked again every 2 s until it answers"),
            Self::PortChanged => (
                5,
                "one qualification from the new port; a peer is asked again every 2 s",
            ),
            Self::NatRebinding | Self::PublicAddress => (
                15,
                "nobody reports it: the next refresh, 8 s later at most, shows the new mapping",
            ),
            Self::LinkDown | Self::LocalAddress => (
                10,
                "the kernel reports it; one qualification, two datagrams of which may be lost (4 s each)",
            ),
            Self::TunnelWiped => (
                3,
                "the kernel reports it; each second the interface is looked at",
            ),
            Self::ServerMoved => (
                28,
                "12 s until the silent server is given up, 1 s of look-up, then twice 4 s of retries and a pause",
            ),
            Self::RulesetFlushed | Self::RulesetReloaded => (
                3,
                "the kernel reports it; the agent looks every 100 ms while a set is missing",
            ),
            Self::DiskFull | Self::Descriptors(_) => (
                6,
                "the data path needs no file and no new descriptor; connections that were refused come back within 1 s, a peer is asked every 2 s",
            ),
            Self::Memory(_) => (10, "the kernel may have killed it: as for a killed client"),
            Self::Stopped(Role::Server)
            | Self::NatReboot
            | Self::NameService
            | Self::ServerLost
            | Self::SendsRefused
            | Self::QueueFull
            | Self::Loss
            | Self::Delay => {
                return (
                    length + Duration::from_secs(12) + BUSY,
                    "the pause between attempts has doubled up to the length of the fault; then three attempts of 4 s",
                );
            }
        };
        (Duration::from_secs(seconds) + BUSY, reason)
    }

    /// The part that it touches: of two faults at once, neither touches the same.
    pub(crate) const fn touches(self) -> Part {
        match self {
            Self::Killed(role)
            | Self::Stopped(role)
            | Self::Descriptors(role)
            | Self::Memory(role) => Part::Program(role),
            Self::ClientKilledKept | Self::PortChanged | Self::TunnelWiped | Self::DiskFull => {
                Part::Program(Role::Client)
            }
            Self::ServerMoved | Self::ServerLost | Self::NameService => Part::Program(Role::Server),
            Self::RulesetFlushed | Self::RulesetReloaded => Part::Ruleset,
            Self::NatRebinding
            | Self::NatReboot
            | Self::PublicAddress
            | Self::LinkDown
            | Self::LocalAddress
            | Self::SendsRefused
            | Self::QueueFull
            | Self::Loss
            | Self::Delay => Part::Network,
        }
    }
}

/// A part of the set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Program(Role),
    Network,
    Ruleset,
}

/// An allowance for a machine with two cores on which other programs run.
pub(crate) const BUSY: Duration = Duration::from_secs(2);

/// One fault, with all that was drawn for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Zero for what happens at one instant.
    pub(crate) length: Duration,
    /// The share of lost datagrams, in percent.
    pub(crate) loss: u8,
    /// Chooses among the forms of a kind.
    pub(crate) form: u8,
    /// Whether the operator changes the port meanwhile.
    pub(crate) rebind: bool,
}

impl Fault {
    /// The fault in words.
    pub(crate) fn describe(&self) -> String {
        let mut text = self.kind.name().to_owned();
        if self.kind == Kind::Loss {
            text += &format!(" of {} %", self.loss);
        }
        if !self.length.is_zero() {
            text += &format!(" for {:.1} s", self.length.as_secs_f64());
        }
        if self.rebind {
            text += ", and a new port";
        }
        text
    }

    pub(crate) fn bound(&self) -> (Duration, &'static str) {
        self.kind.bound(self.length)
    }
}
