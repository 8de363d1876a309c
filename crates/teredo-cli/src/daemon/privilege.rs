//! Giving up the privileges that a daemon does not need.

use std::num::NonZeroU16;

use caps::{CapSet, Capability, CapsHashSet};

use crate::failure::{Exit, Failure};

/// The capabilities of a client or relay whose interface exists: to change the interface's addresses, and to bind a low
/// port if one is asked for.
pub(crate) fn of_a_node(port: Option<NonZeroU16>) -> Vec<Capability> {
    let mut wanted = vec![Capability::CAP_NET_ADMIN];
    if port.is_some_and(|port| port.get() < 1024) {
        wanted.push(Capability::CAP_NET_BIND_SERVICE);
    }
    wanted
}

/// Keeps these capabilities, as far as the process has them; nothing that it starts can have more.
///
/// Every thread has capabilities of its own: this must run before there is a second one.
pub(crate) fn keep(wanted: impl IntoIterator<Item = Capability>) -> Result<(), Failure> {
    let refused = |error| Failure::new(Exit::Failed, "cannot give up privileges").because(error);
    let wanted: CapsHashSet = wanted.into_iter().collect();
    let permitted = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(refused)?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(refused)?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| Failure::new(Exit::Failed, "cannot give up privileges").because(error))
}
