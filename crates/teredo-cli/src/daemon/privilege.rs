//! Giving up what is not needed once the interface exists.

use std::num::NonZeroU16;

use caps::{CapSet, Capability, CapsHashSet};

use crate::failure::{Exit, Failure};

/// Keeps the right to change the interface's addresses, and to bind a low port where one is asked for; nothing
/// that this process starts can have more.
///
/// Every thread has capabilities of its own: this must run before there is a second one.
pub(crate) fn keep_what_is_needed(port: Option<NonZeroU16>) -> Result<(), Failure> {
    let mut wanted = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    if port.is_some_and(|port| port.get() < 1024) {
        wanted.insert(Capability::CAP_NET_BIND_SERVICE);
    }
    let refused = |error| Failure::new(Exit::Failed, "cannot give up privileges").because(error);
    let permitted = caps::read(None, CapSet::Permitted).map_err(refused)?;
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(refused)?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(refused)?;
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| Failure::new(Exit::Failed, "cannot give up privileges").because(error))
}
