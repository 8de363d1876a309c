//! How far a direct bubble goes whose purpose is to open the own NAT (RFC 4380 §5.2.4 case 5).
//!
//! One that gets to the peer's router before the peer has sent anything is a stranger's there. Most routers drop it.
//! A Linux router whose own input is open takes it for its own, and from then on the peer's answers leave from another
//! port, for which the own NAT is closed: the two never meet (Debian bug #404365). So it is sent with a time to live
//! that ends behind the own NAT and before the peer's.
//!
//! Where the own NAT is nobody says. Each repetition goes further, the last ones all the way, as RFC 4380 has it:
//!
//! ```text
//!   bubble   time to live   passes
//!   1        2              the home router
//!   2        4              a router of the provider as well (RFC 6598: a NAT for many customers)
//!   3        8
//!   4        the system's
//! ```
//!
//! If the first was not enough for one peer, the next peer's starts a step further, and never beyond the third.

/// The times to live, before the system's own.
const TTLS: [u8; 3] = [2, 4, 8];

/// What has been learned since the qualification about where the own NAT is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Opening {
    first: usize,
}

impl Opening {
    /// The time to live of the direct bubble that is number `number` of a contact, counted from 0; `None` for the
    /// system's own.
    pub(super) fn ttl(self, number: u8) -> Option<u8> {
        TTLS.get(self.first + usize::from(number)).copied()
    }

    /// A peer that there was no path to has answered the last of so many bubbles, from its mapping. A lost one looks
    /// the same, so that the next peer's first bubble may go further than it has to.
    pub(super) fn answered(&mut self, bubbles: u8) {
        if bubbles > 1 {
            self.first = (self.first + 1).min(TTLS.len() - 1);
        }
    }
}

#[cfg(test)]
mod tests;
