//! The agent's own table, `inet teredo`.
//!
//! Its chains run before those of others at the priority `filter`, but that gives its verdicts no
//! more weight than theirs. A `drop` is final in any chain. An `accept` only ends its own chain, and
//! the next base chain at the same hook still sees the packet. So this table can close the inside of
//! the tunnel on any host, but can open the port only if no other table drops it. Otherwise the rules
//! that drop must open it, by looking in a set that the agent fills: see
//! [`Target::AdministratorSet`](crate::Target).

use std::net::Ipv4Addr;

use rustix::io::Errno;
use teredo_nft::{
    Batch, Chain, ChainKind, CtState, Element, Family, Hook, KeyType, Netlink, NftError,
    PayloadBase, Rule, Set, TableFlags, TableName, Verdict,
};
use tracing::{info, warn};

use crate::config::{Exception, SetPath};

/// Before `filter`, so that the counters show everything that arrived.
const PRIORITY: i32 = -10;

/// The set that holds the current port, in the mode that has no other.
const PORT_SET: &str = "port";

const UDP: u8 = 17;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// The port of Teredo servers, and of the local discovery (RFC 4380 §2.7, §2.17).
const TEREDO_PORT: u16 = 3544;

/// The group by which clients on one link discover each other (RFC 4380 §2.17).
const DISCOVERY_ADDRESS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 253);

/// The unsolicited ICMPv6 that is let in (F-5): errors, echo, and neighbour discovery.
const ICMPV6_TYPES: [u8; 10] = [1, 2, 3, 4, 128, 129, 133, 134, 135, 136];

/// The agent's own table.
#[derive(Debug)]
pub(crate) struct OwnTable {
    interface: String,
    exceptions: Vec<Exception>,
    with_port: bool,
    owned: bool,
}

/// Why the table could not be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("the table belongs to another program, whose netlink port is {owner}")]
    Owned { owner: u32 },
    #[error(transparent)]
    Netlink(#[from] NftError),
}

impl OwnTable {
    /// A table that is not installed yet. With `with_port` it opens the port too; otherwise it only closes the
    /// tunnel's inside.
    pub(crate) fn new(interface: &str, exceptions: &[Exception], with_port: bool) -> Self {
        Self {
            interface: interface.to_owned(),
            exceptions: exceptions.to_vec(),
            with_port,
            owned: true,
        }
    }

    pub(crate) fn name() -> TableName {
        TableName::new(Family::Inet, "teredo")
    }

    /// The set that holds the current port, if the table opens it.
    pub(crate) fn port_set() -> SetPath {
        SetPath {
            table: Self::name(),
            set: PORT_SET.to_owned(),
        }
    }

    /// The table as an old kernel has it, without an owner.
    #[cfg(test)]
    pub(crate) fn without_owner(mut self) -> Self {
        self.owned = false;
        self
    }

    /// Whether the kernel removes the table when the agent ends.
    pub(crate) fn owned(&self) -> bool {
        self.owned
    }

    /// Puts the table in the place of whatever has its name, in one transaction.
    pub(crate) fn install(
        &mut self,
        netlink: &mut Netlink,
        element: Option<Element>,
    ) -> Result<(), InstallError> {
        let table = Self::name();
        // Only a former agent or a very old kernel leaves a table of this name without an owner.
        match netlink.table(&table)?.map(|info| info.owner) {
            Some(Some(owner)) if owner != netlink.port() => {
                return Err(InstallError::Owned { owner });
            }
            Some(Some(_)) | None => {}
            Some(None) => info!(%table, "replacing a table that an agent left behind"),
        }
        if self.owned {
            match netlink.execute(&self.batch(element.clone())) {
                Err(NftError::Refused {
                    errno: errno @ (Errno::INVAL | Errno::OPNOTSUPP),
                    request,
                }) if request == format!("add table {table}") => {
                    warn!(
                        %table, %errno,
                        "this kernel knows no tables with an owner (Linux 5.12 does): if the agent \
                         is killed, the table stays, and only its port lapses",
                    );
                    self.owned = false;
                }
                result => return Ok(result?),
            }
        }
        Ok(netlink.execute(&self.batch(element))?)
    }

    pub(crate) fn installed(&self, netlink: &mut Netlink) -> Result<bool, NftError> {
        Ok(netlink.table(&Self::name())?.is_some())
    }

    pub(crate) fn remove(&self, netlink: &mut Netlink) -> Result<(), NftError> {
        let mut batch = Batch::new();
        batch.delete_table(&Self::name());
        match netlink.execute(&batch) {
            Err(error) if error.refusal() == Some(Errno::NOENT) => Ok(()),
            result => result,
        }
    }

    fn batch(&self, element: Option<Element>) -> Batch {
        let table = Self::name();
        let mut batch = Batch::new();
        batch
            .replace_table(
                &table,
                TableFlags {
                    owner: self.owned,
                    ..TableFlags::default()
                },
            )
            .add_chain(&table, &Chain::regular("inside"))
            .add_chain(
                &table,
                &Chain::base("input", ChainKind::Filter, Hook::Input, PRIORITY),
            )
            .add_chain(
                &table,
                &Chain::base("forward", ChainKind::Filter, Hook::Forward, PRIORITY),
            );
        self.add_inside(&mut batch, &table);
        for chain in ["input", "forward"] {
            let rule = Rule::new()
                .iifname(&self.interface)
                .verdict(Verdict::Goto("inside".to_owned()));
            batch.add_rule(&table, chain, rule);
        }
        if self.with_port {
            add_outside(&mut batch, &table, element);
        }
        batch
    }

    /// Traffic out of the tunnel, to this host or through it (F-5, F-6, R4380-7.1-01, R6169-4.3-01, W-03).
    fn add_inside(&self, batch: &mut Batch, table: &TableName) {
        batch
            .add_rule(
                table,
                "inside",
                Rule::new()
                    .ct_state(CtState::ESTABLISHED | CtState::RELATED)
                    .counter()
                    .accept(),
            )
            .add_rule(
                table,
                "inside",
                Rule::new()
                    .ipv6()
                    .protocol(ICMPV6)
                    .payload(PayloadBase::Transport, 0, 1)
                    .among(KeyType::ICMPV6_TYPE, ICMPV6_TYPES.map(|kind| [kind]))
                    .counter()
                    .accept(),
            );
        for exception in &self.exceptions {
            let rule = Rule::new()
                .protocol(exception.protocol.number())
                .destination_port()
                .is(exception.port.get().to_be_bytes())
                .counter()
                .accept();
            batch.add_rule(table, "inside", rule);
        }
        batch.add_rule(
            table,
            "inside",
            Rule::new().counter().drop().comment("unsolicited"),
        );
    }
}

/// The traffic that carries the tunnel: the announced port (F-1, F-2), and the fixed one of local discovery, which is
/// never announced (F-3, N-09).
fn add_outside(batch: &mut Batch, table: &TableName, element: Option<Element>) {
    let udp = || Rule::new().protocol(UDP);
    // The protocol field of the IPv4 header.
    let igmp = || {
        Rule::new()
            .ipv4()
            .payload(PayloadBase::Network, 9, 1)
            .is([IGMP])
            .counter()
            .accept()
    };
    let server = TEREDO_PORT.to_be_bytes();

    batch
        .add_set(
            table,
            &Set::new(PORT_SET, KeyType::INET_SERVICE).with_timeouts(),
        )
        .add_chain(
            table,
            &Chain::base("output", ChainKind::Filter, Hook::Output, PRIORITY),
        );
    if let Some(element) = element {
        batch.add_elements(table, PORT_SET, [element]);
    }
    batch
        .add_rule(
            table,
            "input",
            udp()
                .source_port()
                .is(server)
                .destination_port()
                .in_set(PORT_SET)
                .counter()
                .accept()
                .comment("from the server"),
        )
        .add_rule(
            table,
            "input",
            udp()
                .destination_port()
                .in_set(PORT_SET)
                .counter()
                .accept()
                .comment("from peers"),
        )
        .add_rule(
            table,
            "input",
            Rule::new()
                .ipv4()
                .ipv4_destination(DISCOVERY_ADDRESS)
                .protocol(UDP)
                .destination_port()
                .is(server)
                .counter()
                .accept()
                .comment("local discovery"),
        )
        .add_rule(table, "input", igmp())
        .add_rule(
            table,
            "output",
            udp()
                .source_port()
                .in_set(PORT_SET)
                .destination_port()
                .is(server)
                .counter()
                .accept()
                .comment("to the server"),
        )
        .add_rule(
            table,
            "output",
            udp()
                .source_port()
                .in_set(PORT_SET)
                .counter()
                .accept()
                .comment("to peers"),
        )
        .add_rule(table, "output", igmp());
}

#[cfg(test)]
mod tests;
