//! The agent's part of the ruleset: the table `inet teredo`, and the ports in the administrator's set.

use std::collections::{BTreeMap, BTreeSet};

use teredo_nft::{Batch, Element, Netlink, NftError};
use tracing::{info, warn};

use super::AgentError;
use crate::administrator_set::{AdministratorSet, Fitness, SetError, is_stale};
use crate::block::ForeignTable;
use crate::claim;
use crate::config::{AgentConfig, Backend, Target};
use crate::firewalld::{self, Firewalld, Side, Wish};
use crate::host::{self, HostFirewalls, Ufw, ufw_commands};
use crate::passage::{Passage, Ways};
use crate::table::{
    self, AGENTS, ALLOWED, CLOSED_FORWARD, Found, LEASED, MARKED, PORTS, TUNNELS, UNTRACKED,
};

/// linux/netfilter.h
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// How often a change is tried again because another program changed the ruleset meanwhile.
const ATTEMPTS: usize = 4;

/// The state that the kernel should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The open ports.
    pub(super) ports: BTreeSet<u16>,
    /// The random ports of clients (RFC 6081), which are open besides these. They never keep a port from being opened.
    pub(super) random: BTreeSet<u16>,
    /// The open ports of relays.
    pub(super) untracked: BTreeSet<u16>,
    /// The interfaces whose inside is closed, and whether forwarding from them is closed, too; none: as it was, or
    /// closed.
    pub(super) tunnels: BTreeMap<String, Option<bool>>,
    /// The interfaces of the nodes, and which end of their traffic is a client.
    pub(super) sides: BTreeMap<String, Side>,
}

#[derive(Debug)]
pub(super) struct Firewall {
    netlink: Netlink,
    set: Option<AdministratorSet>,
    config: AgentConfig,
    passage: Passage,
    /// The other firewall programs of the host.
    host: HostFirewalls,
    /// Whether that is as the kernel has it.
    host_is_current: bool,
    firewalld: Option<Firewalld>,
    /// The ufw of which the administrator was told.
    advised: Option<Ufw>,
    /// The absent program that was last reported to the administrator.
    missed: Option<Backend>,
    /// The random ports that the kernel has refused, and why.
    refused: Option<(BTreeSet<u16>, String)>,
    /// The table's text after the agent's own work; none: not known to be right.
    text: Option<Vec<String>>,
    /// The tunnels of the last change that the kernel took.
    closed: BTreeMap<String, Option<bool>>,
    /// Those that do not forward either.
    closed_forward: BTreeSet<String>,
    /// Whether there is nothing to take back: nothing was put there yet, or it is another agent's.
    released: bool,
}

/// Why the kernel is not in the wanted state.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("{0}; {mend}", mend = ForeignTable::MEND)]
    Foreign(#[from] ForeignTable),
    #[error(transparent)]
    Set(#[from] SetError),
    /// firewalld was asked and has not answered yet.
    #[error("firewalld has not opened the port yet")]
    Opening,
    #[error("{0}")]
    Firewalld(String),
    #[error("the set 'inet teredo {set}' does not hold what the kernel took")]
    NotHeld { set: &'static str },
    #[error(transparent)]
    Netlink(#[from] NftError),
}

impl Firewall {
    pub(super) fn open(config: AgentConfig) -> Result<Self, AgentError> {
        let set = match &config.target {
            Target::OwnTable => None,
            Target::AdministratorSet(path) => {
                Some(AdministratorSet::new(path.clone(), config.lease))
            }
        };
        Ok(Self {
            netlink: Netlink::open()?,
            set,
            config,
            passage: Passage::default(),
            host: HostFirewalls::default(),
            host_is_current: false,
            firewalld: None,
            advised: None,
            missed: None,
            refused: None,
            text: None,
            closed: BTreeMap::new(),
            closed_forward: BTreeSet::new(),
            released: true,
        })
    }

    pub(super) fn netlink_port(&self) -> u32 {
        self.netlink.port()
    }

    /// Checks what a restart cannot mend, so that a mistake is reported at the start, and claims the table.
    pub(super) fn check(&mut self) -> Result<(), AgentError> {
        if let Found::Foreign(owner) = table::find(&mut self.netlink)? {
            return Err(ForeignTable::new(owner).into());
        }
        self.check_claim()?;
        let Some(set) = &mut self.set else {
            return Ok(());
        };
        match set.adapt(&mut self.netlink) {
            Ok(()) | Err(SetError::Missing(_) | SetError::NotHeld { .. }) => Ok(()),
            Err(SetError::Unfit { path, reason }) => {
                Err(AgentError::UnsuitableSet { path, reason })
            }
            Err(SetError::Owned { path, owner }) => Err(AgentError::OwnedSet { path, owner }),
            Err(SetError::Netlink(error)) => Err(error.into()),
        }
    }

    /// Fails if another agent holds the table.
    pub(super) fn check_claim(&mut self) -> Result<(), AgentError> {
        match claim::holder(&mut self.netlink)? {
            Some(owner) => {
                // Its elements are its own.
                self.released = true;
                Err(AgentError::AlreadyRunning { owner })
            }
            None => {
                self.released = false;
                Ok(())
            }
        }
    }

    /// The ports that an agent before this one left open.
    pub(super) fn inherited(&mut self) -> Result<BTreeSet<u16>, NftError> {
        let elements = self
            .netlink
            .elements(&table::name(), PORTS)?
            .unwrap_or_default();
        let mut ports: BTreeSet<u16> = elements
            .iter()
            .filter_map(|element| element.port())
            .collect();
        if let Some(set) = &self.set
            && matches!(
                set.fitness(&mut self.netlink)?,
                Fitness::Fit | Fitness::WithoutLease
            )
            && let Ok(own) = set.own(&mut self.netlink)
        {
            ports.extend(own);
        }
        Ok(ports)
    }

    /// Another program changed the ruleset.
    pub(super) fn foreign_change(&mut self) {
        self.passage.doubt();
        self.host_is_current = false;
    }

    /// Looks which other firewall programs the host has.
    fn look_around(&mut self) -> Result<(), NftError> {
        // The administrator's set is all that its rules need.
        if self.set.is_some() || self.host_is_current {
            return Ok(());
        }
        let found = host::find(&mut self.netlink, self.config.backend)?;
        let before = std::mem::replace(&mut self.host, found);
        self.host_is_current = true;
        if before.firewalld != self.host.firewalld {
            if self.host.firewalld {
                info!("firewalld is active: the port is opened there, too");
            } else {
                info!("firewalld is not active any more");
            }
        }
        if self.host.firewalld && self.firewalld.is_none() {
            self.firewalld = Some(Firewalld::start(self.config.lease));
        }
        Ok(())
    }

    /// The program that the settings name and that is not active. The agent's own table opens the port without it.
    fn absent(&self) -> Option<Backend> {
        let named = self.config.backend;
        let is_active = match named {
            Backend::Firewalld => self.host.firewalld,
            Backend::Ufw => self.host.ufw.is_some(),
            Backend::Auto | Backend::Nftables => true,
        };
        (!is_active && self.set.is_none()).then_some(named)
    }

    /// Tells the administrator what the other program needs, if that has changed. A reload of ufw passes through states
    /// that need nothing.
    pub(super) fn advise(&mut self) {
        // The kernel does not report changes of ufw's files.
        self.host_is_current = false;
        let absent = self.absent();
        if std::mem::replace(&mut self.missed, absent) != absent
            && let Some(program) = absent
        {
            warn!(
                "{program} is not active: the table 'inet teredo' alone opens the port until it is"
            );
        }
        if self.advised == self.host.ufw {
            return;
        }
        let before = std::mem::replace(&mut self.advised, self.host.ufw);
        let commands = ufw_commands();
        match self.host.ufw {
            Some(ufw) if ufw.lacks_line() || (ufw.closes && !ufw.passes_ipv6) => warn!(
                "ufw drops what the agent opens; so that it passes, type once, as root: {commands}"
            ),
            Some(ufw) if ufw.passes() => info!("ufw is active, and passes what the agent opens"),
            Some(ufw) if !ufw.visible => warn!(
                "ufw is active, and its rules cannot be seen; if it drops the port, type once, as root: {commands}"
            ),
            Some(_) | None => {
                if before.is_some() {
                    info!("ufw is not active any more");
                }
            }
        }
    }

    /// Has firewalld open the ports, if it is there. The kernel must have its rules before that is believed.
    fn pass_firewalld(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        let Some(firewalld) = &mut self.firewalld else {
            return Ok(());
        };
        if !self.host.firewalld {
            // It takes its rules along when it ends.
            firewalld.wish(Wish::default());
            return Ok(());
        }
        firewalld.wish(Wish {
            ports: wanted.ports.clone(),
            random: wanted.random.clone(),
            // A relay takes no part in it.
            discovery: wanted.ports != wanted.untracked,
            tunnels: wanted.sides.clone(),
            inside: self.config.allow_inbound.clone(),
            ..Wish::default()
        });
        let held = firewalld.held();
        if let Some(trouble) = held.trouble {
            return Err(ApplyError::Firewalld(trouble));
        }
        if !wanted.ports.is_subset(&held.ports) {
            return Err(ApplyError::Opening);
        }
        let held = firewalld::Held {
            ports: wanted.ports.clone(),
            ..held
        };
        if !firewalld::is_in_kernel(&mut self.netlink, &held)? {
            firewalld.doubt();
            return Err(ApplyError::Opening);
        }
        Ok(())
    }

    /// Waits until firewalld has something else.
    pub(super) async fn firewalld_changed(&mut self) {
        match &mut self.firewalld {
            Some(firewalld) => firewalld.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Takes the exceptions out of firewalld.
    pub(super) async fn leave_firewalld(&mut self) {
        if let Some(firewalld) = self.firewalld.take() {
            firewalld.end().await;
        }
    }

    /// The program by which the port is open, in a few words.
    pub(super) fn backend(&self) -> Option<String> {
        if let Some(firewalld) = self.firewalld.as_ref().filter(|_| self.host.firewalld) {
            let zones: Vec<_> = firewalld.held().zones.into_iter().collect();
            return Some(match zones.as_slice() {
                [] => String::from("firewalld"),
                [zone] => format!("firewalld (zone {zone})"),
                zones => format!("firewalld (zones {})", zones.join(", ")),
            });
        }
        if let Some(program) = self.absent() {
            return Some(format!("nftables alone: {program} is not active"));
        }
        let ufw = self.host.ufw.filter(|ufw| ufw.passes() || !ufw.visible);
        ufw.map(|_| String::from("ufw"))
    }

    /// Whether packets get the mark.
    fn marks(&self) -> bool {
        self.host.ufw.is_some() || self.config.backend == Backend::Ufw
    }

    /// The table may not be right.
    pub(super) fn doubt(&mut self) {
        self.text = None;
    }

    /// The ports that the kernel should have: random ports that it has refused are left out.
    pub(super) fn open_ports(&self, wanted: &Wanted) -> BTreeSet<u16> {
        let refused = self.refused.as_ref();
        if refused.is_some_and(|(refused, _)| *refused == wanted.random) {
            return wanted.ports.clone();
        }
        wanted.ports.union(&wanted.random).copied().collect()
    }

    /// Why the wanted random ports are not open, although the port may be; none if they are, or will be.
    pub(super) fn random_trouble(&self, wanted: &Wanted) -> Option<String> {
        let refused = self.refused.as_ref();
        let (_, reason) = refused.filter(|(refused, _)| *refused == wanted.random)?;
        Some(reason.clone())
    }

    /// Whether the wanted random ports are open, after [`apply`](Self::apply) has succeeded.
    pub(super) fn opens_random(&mut self, wanted: &Wanted) -> bool {
        if wanted.random.is_empty() {
            return true;
        }
        if self.random_trouble(wanted).is_some() {
            return false;
        }
        let Some(firewalld) = self.firewalld.as_ref().filter(|_| self.host.firewalld) else {
            return true;
        };
        let held = firewalld.held();
        let ports = wanted.random.clone();
        ports.is_subset(&held.random)
            && firewalld::is_in_kernel(&mut self.netlink, &firewalld::Held { ports, ..held })
                .unwrap_or(false)
    }

    /// Makes the kernel open the wanted ports and no other, and close the tunnels (F-2). One transaction.
    ///
    /// If it refuses the random ports, such as those for which a set of a fixed size has no room, the others are opened
    /// without them.
    pub(super) fn apply(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        match self.apply_again(wanted) {
            Err(ApplyError::Netlink(error))
                if error.refusal().is_some()
                    && !self.open_ports(wanted).is_subset(&wanted.ports) =>
            {
                self.refused = Some((wanted.random.clone(), error.to_string()));
                let applied = self.apply_again(wanted);
                if let Err(ApplyError::Netlink(_)) = applied {
                    // It was not about them.
                    self.refused = None;
                } else {
                    warn!(%error, "the kernel refuses the random ports; the client does without them");
                }
                applied
            }
            result => result,
        }
    }

    fn apply_again(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        let mut attempt = 1;
        loop {
            match self.try_apply(wanted) {
                Err(ApplyError::Netlink(error)) if is_stale(&error) && attempt < ATTEMPTS => {
                    self.doubt();
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn try_apply(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        self.look_around()?;
        let mut batch = Batch::new();
        let declares = self.text.is_none();
        let mut set_error = None;
        if declares {
            if let Found::Foreign(owner) = table::find(&mut self.netlink)? {
                return Err(ForeignTable::new(owner).into());
            }
            table::declare(&mut batch);
            if let Some(set) = &mut self.set {
                set_error = set.adapt(&mut self.netlink).err();
            }
        }
        let open = self.open_ports(wanted);
        self.add_leases(&mut batch, wanted);
        if declares || self.closed != wanted.tunnels {
            self.add_tunnels(&mut batch, wanted)?;
        }
        if let (Some(set), None) = (&self.set, &set_error) {
            set_error = set.hold(&mut self.netlink, &mut batch, &open).err();
        }
        if declares {
            self.text = table::execute(&mut self.netlink, &batch)?;
        } else {
            self.netlink.execute(&batch)?;
        }
        self.closed.clone_from(&wanted.tunnels);
        // The inside of the tunnel is closed, whatever there is to say of the administrator's set.
        match set_error {
            // Without a set there is no exception, so no port is open.
            Some(SetError::Missing(_)) if wanted.ports.is_empty() => {
                self.doubt();
                return Ok(());
            }
            Some(error) => {
                self.doubt();
                return Err(error.into());
            }
            None => {}
        }
        self.verify(wanted)?;
        self.pass_firewalld(wanted)
    }

    /// Reads back the change that the kernel has accepted.
    fn verify(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        let open = self.open_ports(wanted);
        if !self.holds(PORTS, &open)? {
            return Err(ApplyError::NotHeld { set: PORTS });
        }
        if let Some(set) = &self.set
            && !set.holds(&mut self.netlink, &open)?
        {
            let path = set.path().clone();
            let port = wanted.ports.first().copied().unwrap_or_default();
            return Err(SetError::NotHeld { path, port }.into());
        }
        Ok(())
    }

    fn add_leases(&self, batch: &mut Batch, wanted: &Wanted) {
        let lease = self.config.lease;
        let ports = |ports: &BTreeSet<u16>| {
            ports
                .iter()
                .map(|port| Element::port(*port))
                .collect::<Vec<_>>()
        };
        let allowed = self.config.allow_inbound.iter().map(|exception| {
            // Each part of a key takes whole registers.
            let [high, low] = exception.port.get().to_be_bytes();
            Element::new([exception.protocol.number(), 0, 0, 0, high, low, 0, 0])
        });
        let marked = [NFPROTO_IPV4, NFPROTO_IPV6].map(|family| Element::new([family]));
        let marked: Vec<_> = marked.into_iter().filter(|_| self.marks()).collect();
        for (set, elements) in [
            (MARKED, marked),
            (PORTS, ports(&self.open_ports(wanted))),
            (UNTRACKED, ports(&wanted.untracked)),
            (ALLOWED, allowed.collect()),
            (AGENTS, vec![claim::element(self.netlink.port())]),
        ] {
            table::leases(
                batch,
                set,
                elements
                    .into_iter()
                    .map(|element| element.with_timeout(lease)),
            );
        }
    }

    /// The block outlives the agent, so its elements have no timeout.
    fn add_tunnels(&mut self, batch: &mut Batch, wanted: &Wanted) -> Result<(), NftError> {
        let known = table::interfaces(&mut self.netlink, TUNNELS)?;
        let closed = table::interfaces(&mut self.netlink, CLOSED_FORWARD)?;
        let table = table::name();
        for (name, forward) in &wanted.tunnels {
            let element = || [Element::interface(name)];
            let is_known = known.contains(name);
            if !is_known {
                batch.add_elements(&table, TUNNELS, element());
            }
            let is_closed = closed.contains(name);
            let as_it_was = is_closed || self.closed_forward.contains(name) || !is_known;
            let close = forward.unwrap_or(as_it_was);
            match (close, is_closed) {
                (true, false) => drop(batch.add_elements(&table, CLOSED_FORWARD, element())),
                (false, true) => {
                    batch.delete_elements(&table, CLOSED_FORWARD, element());
                }
                _ => {}
            }
            if close {
                self.closed_forward.insert(name.clone());
            } else {
                self.closed_forward.remove(name);
            }
        }
        Ok(())
    }

    /// Whether the kernel still has what [`apply`](Self::apply) put there.
    pub(super) fn intact(&mut self, wanted: &Wanted) -> Result<bool, ApplyError> {
        let marked = self.marks();
        self.look_around()?;
        if marked != self.marks() {
            return Ok(false);
        }
        let Some(known) = self.text.take() else {
            return Ok(false);
        };
        if table::find(&mut self.netlink)? != Found::Ours
            || table::text(&mut self.netlink)? != known
        {
            return Ok(false);
        }
        let tunnels = table::interfaces(&mut self.netlink, TUNNELS)?;
        let closed = table::interfaces(&mut self.netlink, CLOSED_FORWARD)?;
        let open = self.open_ports(wanted);
        let mut forwarding = wanted.tunnels.keys();
        if !wanted.tunnels.keys().all(|name| tunnels.contains(name))
            || forwarding.any(|name| self.closed_forward.contains(name) && !closed.contains(name))
            || !self.holds(PORTS, &open)?
            || !self.holds(UNTRACKED, &wanted.untracked)?
        {
            return Ok(false);
        }
        if let Some(set) = &mut self.set {
            match set.adapt(&mut self.netlink) {
                Err(SetError::Missing(_)) if wanted.ports.is_empty() => {}
                result => {
                    result?;
                    if !set.holds(&mut self.netlink, &open)? {
                        return Ok(false);
                    }
                }
            }
        }
        self.text = Some(known);
        self.pass_firewalld(wanted).map(|()| true)
    }

    /// The wanted tunnels whose inside is closed, as the kernel has it.
    pub(super) fn protected(&mut self, wanted: &Wanted) -> Vec<String> {
        let names = wanted.tunnels.keys();
        if self.text.is_some() && self.closed == wanted.tunnels {
            return names.cloned().collect();
        }
        let netlink = &mut self.netlink;
        // An interface does not count as closed if the table cannot be read.
        let closes = |name: &&String| table::closes(netlink, name, 0, false).unwrap_or(false);
        names.filter(closes).cloned().collect()
    }

    /// Whether a set of the table holds exactly these ports.
    fn holds(&mut self, set: &str, ports: &BTreeSet<u16>) -> Result<bool, NftError> {
        let elements = self
            .netlink
            .elements(&table::name(), set)?
            .unwrap_or_default();
        // The kernel may list an element twice. One without a timeout would outlive its reason.
        let found: BTreeSet<u16> = elements
            .iter()
            .filter_map(|element| element.port())
            .collect();
        Ok(found == *ports && elements.iter().all(|element| element.expires.is_some()))
    }

    /// Why a port is not open although its exception is in place.
    pub(super) fn passage(&mut self, wanted: &Wanted) -> Result<Option<String>, NftError> {
        self.look_around()?;
        let ways = Ways {
            set: self.set.as_ref().map(|set| set.path().clone()),
            firewalld: self.host.firewalld,
            in_iptables: self.host.in_iptables,
            ufw: self.host.ufw,
        };
        self.passage.look(&mut self.netlink, &ways, &wanted.ports)
    }

    /// Takes the exceptions back. The block stays.
    pub(super) fn release(&mut self) -> Result<(), NftError> {
        if std::mem::replace(&mut self.released, true) {
            return Ok(());
        }
        let emptied = self.empty_set();
        if table::find(&mut self.netlink)? != Found::Ours {
            return emptied;
        }
        let mut batch = Batch::new();
        for set in LEASED {
            batch.flush_set(&table::name(), set);
        }
        match self.netlink.execute(&batch) {
            // Another program has just removed it.
            Err(error) if is_stale(&error) => emptied,
            result => result.and(emptied),
        }
    }

    /// Leaves the exceptions to the next agent. They end with their leases if there is none.
    pub(super) fn leave(&mut self) {
        self.released = true;
    }

    /// Takes the agent's elements out of the administrator's set. A wrong name costs them nothing: only elements with the
    /// agent's mark are removed.
    fn empty_set(&mut self) -> Result<(), NftError> {
        let Some(set) = &self.set else {
            return Ok(());
        };
        if !matches!(
            set.fitness(&mut self.netlink)?,
            Fitness::Fit | Fitness::WithoutLease
        ) {
            return Ok(());
        }
        let mut batch = Batch::new();
        match set.hold(&mut self.netlink, &mut batch, &BTreeSet::new()) {
            Err(SetError::Netlink(error)) => return Err(error),
            // Gone meanwhile.
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        match self.netlink.execute(&batch) {
            Err(error) if is_stale(&error) => Ok(()),
            result => result,
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            warn!(%error, "the firewall agent cannot take its exceptions back");
        }
    }
}
