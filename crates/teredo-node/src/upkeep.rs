//! The tunnel's interface stays as it should be, whatever other programs do to it.
//!
//! A change of the interface starts a look; a difference is mended at once. If another program undoes it again and
//! again, as a network manager does that believes the interface is its own, the pauses grow, and the status says so. The
//! interface's trouble is the node's: without its address a client is not qualified.

use std::collections::VecDeque;
use std::future::pending;
use std::net::Ipv6Addr;
use std::time::Duration;

use teredo_tunnel::net::{Difference, Interface, InterfaceError};
use tokio::time::Instant;

/// How long after a failure the next attempt comes, and how often a relay looks, which does not hear of routes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Mends within this time count as a quarrel,
const MEMORY: Duration = Duration::from_secs(60);

/// if there are more than these. Then the pauses double, from a second,
const AT_ONCE: usize = 3;

/// to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// An interface and what happened to it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    interface: Interface,
    /// Whether to look in intervals.
    periodic: bool,
    trouble: Option<String>,
    /// Whether the interface is in another network namespace.
    elsewhere: bool,
    /// Why a route is not the interface's: another one has it.
    taken_route: Option<String>,
    /// The last mends, at most one for each pause and [`AT_ONCE`].
    mends: VecDeque<Instant>,
    /// The differences that the last look found, in words.
    last: String,
    /// No mend before this.
    pause: Option<Instant>,
    next: Option<Instant>,
}

impl Upkeep {
    /// For a client, whose monitor reports changes of the interface and of its routes.
    pub(crate) fn on_change(interface: Interface) -> Self {
        Self {
            interface,
            periodic: false,
            trouble: None,
            elsewhere: false,
            taken_route: None,
            mends: VecDeque::new(),
            last: String::new(),
            pause: None,
            next: None,
        }
    }

    /// For a relay, whose monitor reports no routes.
    pub(crate) fn periodic(interface: Interface) -> Self {
        Self {
            periodic: true,
            next: Some(Instant::now() + INTERVAL),
            ..Self::on_change(interface)
        }
    }

    /// The interface's present name.
    pub(crate) fn name(&self) -> &str {
        self.interface.name()
    }

    /// Why the interface cannot be used.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The quarrel about the interface, or about its route with another Teredo client of this host, if there is one.
    pub(crate) fn quarrel(&self) -> Option<String> {
        let quarrel = (self.mends.len() > AT_ONCE).then(|| {
            format!(
                "another program keeps changing interface {} (mended {} times within a minute; last: {}): exclude the \
                 interface from systemd-networkd or NetworkManager",
                self.name(),
                self.mends.len(),
                self.last
            )
        });
        quarrel.or_else(|| self.taken_route.clone())
    }

    /// Whether the interface is in another network namespace, whose host nothing of this one protects.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Puts `address` on the interface.
    pub(crate) async fn set_address(&mut self, address: Ipv6Addr) {
        let placed = self.interface.set_address(address).await;
        self.settle(placed);
    }

    /// Takes address and routes off the interface.
    pub(crate) async fn clear_address(&mut self) -> Result<(), InterfaceError> {
        self.trouble = None;
        let cleared = self.interface.clear_address().await;
        if cleared.is_err() {
            // The next look finds what is left.
            self.next = Some(Instant::now() + INTERVAL);
        }
        cleared
    }

    /// Takes the routes off an interface without an address.
    pub(crate) async fn clear_routes(&mut self) -> Result<(), InterfaceError> {
        self.interface.clear_routes().await
    }

    /// Waits until a look is due. Cancel safe.
    pub(crate) async fn due(&self) {
        match self.next {
            Some(at) => tokio::time::sleep_until(at).await,
            None => pending().await,
        }
    }

    /// Looks at the interface, and mends it unless a pause forbids it.
    pub(crate) async fn look(&mut self) {
        let now = Instant::now();
        while self.mends.front().is_some_and(|&at| at + MEMORY <= now) {
            self.mends.pop_front();
        }
        self.next = None;
        let differences = match self.interface.differences().await {
            Ok(differences) => differences,
            Err(error) => return self.settle(Err(error)),
        };
        if differences.is_empty() {
            return self.settle(Ok(()));
        }
        self.last = in_words(&differences);
        let routes_alone = (differences.iter()).all(|one| matches!(one, Difference::NoRoute(_)));
        let is_taken = routes_alone && self.taken_route.is_some();
        if self.pause.is_some_and(|until| now < until) && !is_taken {
            let trouble = self.quarrel().unwrap_or_else(|| self.last.clone());
            return self.set_trouble(Some(trouble));
        }
        let mended = self.interface.restore(&differences).await;
        // A route that another interface keeps is not mended; all else is.
        let without_route =
            matches!(mended, Err(InterfaceError::RouteExists { .. })) && !routes_alone;
        if mended.is_ok() || without_route {
            tracing::warn!(
                interface = self.name(),
                differences = self.last,
                "the interface was changed, and is mended"
            );
            self.mends.push_back(now);
            if let Some(quarrels) = self.mends.len().checked_sub(AT_ONCE + 1) {
                let doubled =
                    INTERVAL * 2_u32.saturating_pow(quarrels.try_into().unwrap_or(u32::MAX));
                self.pause = Some(now + doubled.min(LONGEST_PAUSE));
            }
        }
        self.settle(mended);
    }

    /// After a look or a change that had this result.
    fn settle(&mut self, result: Result<(), InterfaceError>) {
        let now = Instant::now();
        if result.is_err() || self.periodic {
            self.next = Some(now + INTERVAL);
        } else if let Some(&oldest) = self.mends.front() {
            // The quarrel is over when no mend is young.
            self.next = Some(oldest + MEMORY);
        }
        // Another client of this host has the route, and this one shares the host with it; the status says so. A relay
        // without its route gets no packet.
        self.elsewhere = matches!(result, Err(InterfaceError::Elsewhere { .. }));
        let (taken, trouble) = match result.err() {
            Some(error @ InterfaceError::RouteExists { .. }) if !self.periodic => {
                (Some(error.to_string()), None)
            }
            other => (None, other.map(|error| error.to_string())),
        };
        self.taken_route = taken;
        self.set_trouble(trouble);
    }

    fn set_trouble(&mut self, trouble: Option<String>) {
        if let Some(pause) = self.pause.filter(|_| trouble.is_some()) {
            let soon = Instant::now() + INTERVAL;
            self.next = Some(self.next.unwrap_or(soon).min(pause.max(soon)));
        }
        if self.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::error!(
                    interface = self.name(),
                    "the interface cannot be used: {trouble}"
                );
            }
            self.trouble = trouble;
        }
    }
}

/// Names the first difference and counts the others: one event, such as a link that is set down, causes many.
fn in_words(differences: &[Difference]) -> String {
    let Some((first, others)) = differences.split_first() else {
        return String::new();
    };
    match others.len() {
        0 => first.to_string(),
        more => format!("{first}, and {more} more"),
    }
}
