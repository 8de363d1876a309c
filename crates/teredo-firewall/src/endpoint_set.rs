//! A set of `ipv4_addr . inet_service`: the endpoints of many hosts, each with a lease. It touches no element of others.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use teredo_nft::{Batch, Element, ElementInfo, KeyType, Netlink, NftError};

use crate::administrator_set::{Fitness, MARK, is_stale, judge};
use crate::block::program;
use crate::config::SetPath;

mod plan;
use plan::Plan;

/// The words that declare such a set.
pub const ENDPOINT_SET: &str = "{ type ipv4_addr . inet_service; flags timeout; }";

/// The type of its keys.
const KEY: KeyType = KeyType::IPV4_ADDR.then(KeyType::INET_SERVICE);

/// The endpoints of one transaction. The kernel takes a message of some 200 KB at once, and an endpoint takes 150 bytes.
const TRANSACTION: usize = 1000;

/// The endpoints of one request, whose list has at most 64 KiB.
const REQUEST: usize = 500;

/// How often a transaction is tried again because the ruleset changed meanwhile.
const ATTEMPTS: usize = 4;

/// An administrator's set with the endpoints of many hosts.
///
/// Each endpoint is open until a moment that its caller names, and the kernel closes it then, with or without this process.
/// A later moment costs no transaction until half of the lease has passed. (Before Linux 6.12, an element is renewed only by
/// removing and adding it in one transaction.)
#[derive(Debug)]
pub struct EndpointSet {
    path: SetPath,
    netlink: Netlink,
    plan: Plan,
}

/// Why the set does not hold the endpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointSetError {
    /// It does not exist (yet).
    #[error("the set '{path}' does not exist; if the name is right, it is created by: {command}", path = .0, command = create_command(.0))]
    Missing(SetPath),
    /// It cannot hold endpoints with a lease.
    #[error("the set '{path}' {reason}: it must be declared as '{ENDPOINT_SET}'")]
    Unfit {
        /// The set.
        path: SetPath,
        /// The fault, in words that continue "the set …".
        reason: &'static str,
    },
    /// The kernel lets no other program fill it.
    #[error(
        "the table of the set '{path}' belongs to {owner}, and the kernel lets no other program fill the set"
    )]
    Owned {
        /// The set.
        path: SetPath,
        /// The program that owns the table.
        owner: String,
    },
    /// The kernel refuses.
    #[error(transparent)]
    Netlink(#[from] NftError),
}

/// The command that creates such a set, and its table if that is missing, too.
fn create_command(path: &SetPath) -> String {
    format!(
        "nft add table {} && nft add set {path} '{ENDPOINT_SET}'",
        path.table
    )
}

impl EndpointSetError {
    /// The next step for the administrator, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(path) => Some(create_command(path)),
            Self::Unfit { path, .. } => Some(format!(
                "replace it: 'nft delete set {path}', then {}",
                create_command(path)
            )),
            Self::Owned { .. } => Some(String::from(
                "declare the set in a table without 'flags owner'",
            )),
            Self::Netlink(NftError::NotPermitted) => {
                Some(String::from("run it as root, or give it CAP_NET_ADMIN"))
            }
            Self::Netlink(_) => None,
        }
    }
}

/// The rest of an element that has no timeout: a saved ruleset that is loaded again may give it none.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

impl EndpointSet {
    /// Opens the set. It need not exist yet. `lease` is the longest time for which an endpoint is open without renewal.
    ///
    /// # Errors
    ///
    /// [`NftError`] if netlink cannot be had.
    pub fn open(path: SetPath, lease: Duration) -> Result<Self, NftError> {
        Ok(Self {
            path,
            netlink: Netlink::open()?,
            plan: Plan::new(lease),
        })
    }

    /// The set.
    #[must_use]
    pub fn path(&self) -> &SetPath {
        &self.path
    }

    /// The netlink port, by which the kernel names the author of a change.
    #[must_use]
    pub fn netlink_port(&self) -> u32 {
        self.netlink.port()
    }

    /// The number of endpoints that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plan.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another lease. An endpoint whose moment is now earlier is closed earlier.
    pub fn set_lease(&mut self, lease: Duration) {
        self.plan.set_lease(lease);
    }

    /// Reads from the kernel what the set holds: what another program removed is missing from then on, and what a former
    /// process left is held. Returns whether that differs from what was held before.
    ///
    /// # Errors
    ///
    /// [`EndpointSetError`]
    pub fn read(&mut self, now: Instant) -> Result<bool, EndpointSetError> {
        self.check()?;
        let read = |element: ElementInfo| {
            let is_own = element.comment.as_deref() == Some(MARK);
            Some((endpoint(&element)?, is_own, element.expires))
        };
        let (table, set) = (&self.path.table, &self.path.set);
        let elements = self.netlink.elements_as(table, set, read)?;
        let elements = elements.ok_or_else(|| EndpointSetError::Missing(self.path.clone()))?;
        let of = |wanted: bool| {
            let elements = elements.iter().filter(move |(_, own, _)| *own == wanted);
            elements.map(|(endpoint, _, rest)| (*endpoint, *rest))
        };
        let own = of(true).map(|(endpoint, rest)| (endpoint, now + rest.unwrap_or(FOR_EVER)));
        let foreign = of(false).map(|(endpoint, rest)| (endpoint, rest.map(|rest| now + rest)));
        Ok(self.plan.found(own, foreign, now))
    }

    /// Whether the set can hold endpoints.
    ///
    /// # Errors
    ///
    /// [`EndpointSetError`] if it cannot.
    pub fn check(&mut self) -> Result<(), EndpointSetError> {
        let unfit = |reason| EndpointSetError::Unfit {
            path: self.path.clone(),
            reason,
        };
        let info = self.netlink.set(&self.path.table, &self.path.set)?;
        let Some(info) = info else {
            return Err(EndpointSetError::Missing(self.path.clone()));
        };
        match judge(&info, KEY, "is not of type ipv4_addr . inet_service") {
            Fitness::Fit => {}
            Fitness::WithoutLease => return Err(unfit("has no flag timeout")),
            Fitness::Unfit(reason) => return Err(unfit(reason)),
            Fitness::Missing => return Err(EndpointSetError::Missing(self.path.clone())),
        }
        let owner = self
            .netlink
            .table(&self.path.table)?
            .and_then(|table| table.owner);
        match owner.filter(|owner| *owner != self.netlink.port()) {
            None => Ok(()),
            Some(owner) => Err(EndpointSetError::Owned {
                path: self.path.clone(),
                owner: program(owner),
            }),
        }
    }

    /// Makes the set hold these endpoints until the moments of `until`, which is `None` for one that is closed. Then all of
    /// them are in the kernel, or an error says why not: what was taken before it is held.
    ///
    /// # Errors
    ///
    /// [`EndpointSetError`]
    pub fn hold(
        &mut self,
        endpoints: &[SocketAddrV4],
        until: impl Fn(&SocketAddrV4) -> Option<Instant>,
        now: Instant,
    ) -> Result<(), EndpointSetError> {
        for part in endpoints.chunks(TRANSACTION) {
            let mut attempts = 1..=ATTEMPTS;
            loop {
                attempts.next();
                match self.change(part, &until, now) {
                    Err(EndpointSetError::Netlink(error))
                        if is_stale(&error) && !attempts.is_empty() =>
                    {
                        self.read(now)?;
                    }
                    other => break other?,
                }
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        endpoints: &[SocketAddrV4],
        until: &impl Fn(&SocketAddrV4) -> Option<Instant>,
        now: Instant,
    ) -> Result<(), EndpointSetError> {
        let steps = self.plan.steps(endpoints, until, now);
        let mut batch = Batch::new();
        let (table, set) = (&self.path.table, &self.path.set);
        let removed = |endpoint: &SocketAddrV4| Element::new(key(*endpoint));
        for part in steps.remove.chunks(REQUEST) {
            batch.delete_elements(table, set, part.iter().map(removed));
        }
        let added = |&(endpoint, moment): &(SocketAddrV4, Instant)| {
            let rest = moment.saturating_duration_since(now);
            Element::new(key(endpoint))
                .with_timeout(rest)
                .with_comment(MARK)
        };
        for part in steps.add.chunks(REQUEST) {
            batch.add_elements(table, set, part.iter().map(added));
        }
        self.netlink.execute(&batch)?;
        self.plan.taken(&steps);
        Ok(())
    }

    /// The endpoints whose element in the kernel ends before half a lease has passed: these may have to be renewed. Those
    /// that have ended are among them once.
    pub fn due(&mut self, now: Instant) -> Vec<SocketAddrV4> {
        let due = self.plan.due(now);
        self.plan.forget_ended(now);
        due
    }

    /// The endpoints that it holds.
    pub fn held(&self) -> impl Iterator<Item = SocketAddrV4> + '_ {
        self.plan.held()
    }

    /// Removes all that it holds.
    ///
    /// # Errors
    ///
    /// [`EndpointSetError`]
    pub fn release(&mut self, now: Instant) -> Result<(), EndpointSetError> {
        let all: Vec<_> = self.held().collect();
        self.hold(&all, |_| None, now)
    }
}

/// The key of an element: both parts take whole registers of four bytes.
fn key(endpoint: SocketAddrV4) -> Vec<u8> {
    let [high, low] = endpoint.port().to_be_bytes();
    [endpoint.ip().octets(), [high, low, 0, 0]].concat()
}

fn endpoint(element: &ElementInfo) -> Option<SocketAddrV4> {
    let key = <[u8; 8]>::try_from(element.key.as_slice()).ok()?;
    let [a, b, c, d, high, low, _, _] = key;
    Some(SocketAddrV4::new(
        Ipv4Addr::new(a, b, c, d),
        u16::from_be_bytes([high, low]),
    ))
}

#[cfg(test)]
mod tests;
