//! Which exchanges the capture can show. At a server, or with a filter for its port, only the packets by way of the server
//! are there: the direct answers are elsewhere, and nobody can say that they are missing.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use teredo::wire::PORT;

use crate::contents::embedded;
use crate::kind::is_end_of_server;
use crate::recognise::is_public;
use crate::seen::Seen;

/// The nodes whose direct datagrams are in the capture.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// By the addresses inside.
    direct: BTreeSet<Ipv6Addr>,
    /// The observer knows the fates of the datagrams, so it sees all of them.
    is_whole: bool,
    servers: BTreeSet<Ipv4Addr>,
}

impl View {
    /// The view of these datagrams, of at most `limit` nodes.
    pub(crate) fn of(all: &[Seen], servers: &BTreeSet<Ipv4Addr>, limit: usize) -> Self {
        let mut view = Self {
            servers: servers.clone(),
            ..Self::default()
        };
        for seen in all {
            view.is_whole |= seen.fate.is_some();
            let Ok(contents) = &seen.contents else {
                continue;
            };
            let is_hidden = |end| is_end_of_server(end, servers);
            // A filter for port 3544 lets through the contact with a peer that has this port, too, and no other.
            let may_be_filtered = seen.ends().iter().any(|end| end.port() == PORT);
            if contents.origin.is_some()
                || may_be_filtered
                || seen.ends().into_iter().any(is_hidden)
            {
                continue;
            }
            let (source, destination) = (contents.source, contents.destination);
            let [from, to] = [source, destination].map(|inner| embedded(inner).is_some());
            let is_private = |end: Ipv4Addr| !is_public(end);
            // With a relay: the host of the relay does not see the client's other contacts, the client's network does.
            for (inner, is_shown) in [
                (source, !from || to || is_private(*seen.source.ip())),
                (
                    destination,
                    !to || from || is_private(*seen.near_destination().ip()),
                ),
            ] {
                if is_shown && view.direct.len() < limit {
                    view.direct.insert(inner);
                }
            }
        }
        view
    }

    pub(crate) fn is_server(&self, end: SocketAddrV4) -> bool {
        is_end_of_server(end, &self.servers)
    }

    /// Whether the direct answers to this node would be in the capture.
    pub(crate) fn shows(&self, node: Ipv6Addr) -> bool {
        self.is_whole || self.direct.contains(&node)
    }
}
