//! Network address translators in the terms of RFC 4787, without I/O.
//!
//! A [`Nat`] is a state machine that rewrites the addresses and ports of datagrams, as its [`NatBehaviour`] says. Time
//! and seed are arguments, so the same calls give the same translations.
//!
//! | module | contents |
//! |---|---|
//! | `nat` | [`Nat`], [`NatBehaviour`]: mapping, filtering, pools, ports, lifetime, hairpinning; [`Igd`] |
//! | [`stream`] | numbers that depend on a seed alone |
//! | [`table`] | a map that is small while it has few entries |

#![forbid(unsafe_code)]

mod nat;
pub mod stream;
pub mod table;

pub use nat::{
    Filtering, HairpinSource, Igd, IgdFailure, Mapping, Nat, NatBehaviour, Pooling, PortAssignment,
    PortRange, Refusal,
};
