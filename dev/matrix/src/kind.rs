//! The NATs of the matrix.

use teredo_sim::NatBehaviour;

/// A NAT in front of a client.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, as `teredo lab --nat` has it.
    pub name: &'static str,
    /// Its row and column in figure 1 of RFC 6081, from 0.
    pub(crate) figure: usize,
    /// The properties of the NAT.
    pub behaviour: NatBehaviour,
}

const fn kind(name: &'static str, figure: usize, behaviour: NatBehaviour) -> Kind {
    Kind {
        name,
        figure,
        behaviour,
    }
}

/// All of them, in the order of figure 1. The figure leaves out hosts without a NAT, which count as behind a cone, and
/// routers with an open input, which filter as port-restricted NATs.
pub const KINDS: &[Kind] = &[
    kind("none", 0, NatBehaviour::none()),
    kind("cone", 0, NatBehaviour::cone()),
    kind("restricted", 1, NatBehaviour::restricted()),
    kind("port-restricted", 2, NatBehaviour::port_restricted()),
    kind("open-input", 2, NatBehaviour::open_input()),
    kind("igd", 3, NatBehaviour::igd()),
    kind("igd-symmetric", 4, NatBehaviour::igd_symmetric()),
    kind(
        "symmetric-preserving",
        5,
        NatBehaviour::symmetric_preserving(),
    ),
    kind(
        "symmetric-sequential",
        6,
        NatBehaviour::symmetric_sequential(),
    ),
    kind("symmetric", 7, NatBehaviour::symmetric_random()),
    kind("address-symmetric", 8, NatBehaviour::address_symmetric()),
];
