//! The rules of this host's firewalls, and their effect on packets that are not sent.
//!
//! ```text
//!  packet.rs    a packet as rules see it; some of its bytes are unknown
//!  ruleset.rs   nftables, by netlink
//!  legacy.rs    iptables-legacy, by its own program
//!  evaluate.rs  one rule and one packet: yes, no or unknown
//!  xt.rs        the extensions of iptables in nftables
//!  walk.rs      all base chains of the hooks on the packet's way, in their order
//!  render.rs    a rule for people
//! ```

pub(crate) mod evaluate;
pub(crate) mod legacy;
pub(crate) mod packet;
mod render;
pub(crate) mod ruleset;
pub(crate) mod walk;
mod xt;
