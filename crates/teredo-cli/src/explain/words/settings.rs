//! The ways through NATs, a setting with values of its own.

use super::{Word, word};

const SETTING: &str = "'nat_traversal' under [client], or '--nat-traversal'; default: rfc6081";

pub(super) const WORDS: &[Word] = &[
    word(
        "nat_traversal",
        "client",
        "how a client gets through NATs: 'rfc4380', 'rfc6081' or 'eager'",
        "explain those words",
    ),
    word(
        "rfc4380",
        "nat_traversal",
        "by RFC 4380 alone: behind a symmetric NAT the client has no address",
        SETTING,
    ),
    word(
        "rfc6081",
        "nat_traversal",
        "with the extensions of RFC 6081: behind a symmetric NAT the client has an address, and meets the peers that the two NATs \
         allow",
        SETTING,
    ),
    word(
        "eager",
        "nat_traversal",
        "beyond both RFCs: lost datagrams are sent again sooner, the first packet to a peer does not wait, and clients behind a \
         symmetric NAT with random ports and behind a port-restricted one mostly meet, if both are eager. It takes more \
         datagrams",
        SETTING,
    ),
];
