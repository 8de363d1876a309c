//! The kinds of NAT of `teredo probe`, which tests more than a client does.

use super::{NOTHING, Word, word};

pub(super) const WORDS: &[Word] = &[
    word(
        "none",
        "NAT",
        "the server sees this host's own address: there is no NAT",
        NOTHING,
    ),
    word(
        "cone",
        "NAT",
        "one mapping for all destinations, and everybody may send to it",
        NOTHING,
    ),
    word(
        "restricted",
        "NAT",
        "one mapping for all destinations, and the addresses that were sent to may send to it, from any port: \
         address-restricted",
        NOTHING,
    ),
    word(
        "port-restricted",
        "NAT",
        "one mapping for all destinations, and the addresses and ports that were sent to may send to it. A host firewall that \
         accepts only answers makes any NAT look so",
        NOTHING,
    ),
    word(
        "open-input",
        "NAT",
        "as port-restricted, but the router takes a datagram that comes too early for its own, and then gives the connection \
         another port (Debian bug #404365)",
        "on the router, drop what comes in from outside and belongs to no connection (the hook 'input')",
    ),
    word(
        "symmetric",
        "NAT",
        "another mapping for each destination; who may send to it is not tested",
        "see the NAT's settings (endpoint-independent mapping, full cone), or use a VPN",
    ),
];
