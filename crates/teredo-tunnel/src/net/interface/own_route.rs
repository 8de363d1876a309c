//! The route of a client's own address: packets from it leave by the tunnel, even if another default route is preferred.
//! Other networks would drop them, because they are not from one of their addresses.
//!
//! ```text
//!  3544: from 2001:0:c000:22d::1 iif lo lookup 3544     table 3544: default from 2001:0:c000:22d::1 dev teredo
//!  3544: from 2001:0:c000:22d::2 iif lo lookup 3544                 default from 2001:0:c000:22d::2 dev teredo-b
//! ```

use std::net::{IpAddr, Ipv6Addr};

use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::IpVersion;
use rustix::io::Errno;
use teredo::wire::is_teredo;

use super::{
    DEFAULT_PREFIX, Interface, InterfaceError, ROUTING_TABLE, WantedRoute, attempt, ignore_absent,
};

/// Behind the rule for local addresses (0), ahead of those of VPNs (32764 and the like).
const RULE_PRIORITY: u32 = ROUTING_TABLE;

impl Interface {
    /// The route that packets from `address` take.
    pub(super) fn own_route(address: Ipv6Addr) -> WantedRoute {
        WantedRoute {
            destination: DEFAULT_PREFIX,
            metric: None,
            source: Some(address),
        }
    }

    /// Adds what is missing of the route and the rule that leads to it. The route comes first: a rule without a route is
    /// one that nobody needs any more.
    pub(super) async fn add_own_route(&mut self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        let mut added = self.add_route(Self::own_route(address)).await;
        if let Err(InterfaceError::Netlink { source, .. }) = &added
            && Errno::from_io_error(source) == Some(Errno::INVAL)
            && self.source_routes
        {
            tracing::debug!("this kernel has no routes by source: one client per host");
            self.source_routes = false;
            added = self.add_route(Self::own_route(address)).await;
        }
        match added {
            // It is there, and its rule may be missing.
            Err(InterfaceError::RouteExists { .. }) if self.source_routes => {}
            other => other?,
        }
        self.add_rule(address).await
    }

    pub(super) async fn delete_own_route(&self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        let rule = self.delete_rule(address).await;
        self.delete_route(Self::own_route(address)).await.and(rule)
    }

    /// Deletes the rules that lead to no route: those of clients that were killed.
    pub(super) async fn delete_stale_rules(&self) -> Result<(), InterfaceError> {
        let failed = |source| InterfaceError::Netlink {
            action: "read the routing rules".to_owned(),
            source,
        };
        let mut rules = std::pin::pin!(self.netlink.handle.rule().get(IpVersion::V6).execute());
        let mut sources = Vec::new();
        loop {
            match rules.try_next().await.map_err(super::into_io) {
                Ok(Some(rule)) => sources.extend(source(&rule)),
                Ok(None) => break,
                // A kernel without rules.
                Err(error) if is_without_rules(&error) => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
        for source in sources {
            let found = self
                .lookup
                .ipv6(super::restore::ELSEWHERE, Some(source), None);
            if found
                .map_err(failed)?
                .is_none_or(|route| route.table != ROUTING_TABLE)
            {
                self.delete_rule(source).await?;
            }
        }
        Ok(())
    }

    /// `iif lo` keeps the rule from packets that the host forwards.
    async fn add_rule(&self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        let request = self.netlink.handle.rule().add().v6();
        let request = request
            .source_prefix(address, 128)
            .input_interface("lo")
            .table_id(ROUTING_TABLE)
            .priority(RULE_PRIORITY)
            .action(RuleAction::ToTable);
        let added = attempt(request.execute(), || {
            format!("add a rule for packets from {address}")
        });
        match added.await {
            // A client that was killed leaves its rule behind; it is the same.
            Err(InterfaceError::Netlink { source, .. })
                if Errno::from_io_error(&source) == Some(Errno::EXIST)
                    || is_without_rules(&source) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    async fn delete_rule(&self, address: Ipv6Addr) -> Result<(), InterfaceError> {
        let mut rule = RuleMessage::default();
        rule.header.family = AddressFamily::Inet6;
        rule.header.src_len = 128;
        rule.header.action = RuleAction::ToTable;
        rule.attributes = vec![
            RuleAttribute::Source(IpAddr::V6(address)),
            RuleAttribute::Iifname("lo".to_owned()),
            RuleAttribute::Table(ROUTING_TABLE),
            RuleAttribute::Priority(RULE_PRIORITY),
        ];
        let request = self.netlink.handle.rule().del(rule).execute();
        let action = || format!("remove the rule for packets from {address}");
        ignore_absent(attempt(request, action).await)
    }
}

/// The client's address that a rule is for, if it is a client's rule.
fn source(rule: &RuleMessage) -> Option<Ipv6Addr> {
    let has = |wanted: &RuleAttribute| rule.attributes.contains(wanted);
    let ours = rule.header.src_len == 128
        && has(&RuleAttribute::Priority(RULE_PRIORITY))
        && has(&RuleAttribute::Table(ROUTING_TABLE));
    rule.attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Source(IpAddr::V6(source)) if ours && is_teredo(source) => Some(*source),
            _ => None,
        })
}

/// Whether the kernel was built without routing rules.
fn is_without_rules(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT)
    )
}
