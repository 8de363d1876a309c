//! The settings with values of their own: the ways through NATs, and the data path.

use super::{Word, word};

const SETTING: &str = "'nat_traversal' under [client], or '--nat-traversal'; default: rfc6081";

const DATA_PATH: &str =
    "'data_path' under [client], [relay] or [server], or '--data-path'; default: auto";

const VARIABLE: &str = "environment";

pub(super) const WORDS: &[Word] = &[
    word(
        "TEREDO_DATA_PATH",
        VARIABLE,
        "stands for the option '--data-path' of client, relay, server and lab: 'auto', 'kernel' or 'user'; it wins over the files",
        "'teredo config show' names it if it is the source",
    ),
    word(
        "TEREDO_OFFLOAD",
        VARIABLE,
        "stands for the option '--offload' of client and relay: 'auto' or 'off'; it wins over the files",
        "'teredo config show' names it if it is the source",
    ),
    word(
        "TEREDO_LOG_ADDRESSES",
        VARIABLE,
        "stands for the option '--log-addresses': 'on', or 'off' for a name of this run in place of each address",
        "an option on the command line wins over it",
    ),
    word(
        "TEREDO_SOCKET",
        VARIABLE,
        "stands for the option '--socket': the socket of the local service",
        "an option on the command line wins over it",
    ),
    word(
        "user space",
        "data_path",
        "the daemon itself, as a program like any other, in contrast to its programs in the kernel",
        "'teredo doctor' says why user space and not the kernel carries the packets",
    ),
    word(
        "data_path",
        "client, relay, server",
        "who carries the packets of known peers, or answers solicitations: 'auto', 'kernel' or 'user'",
        "explain those words; 'teredo status' says which is in use",
    ),
    word(
        "auto",
        "data_path",
        "programs in the kernel if this host permits them, and the daemon itself otherwise",
        DATA_PATH,
    ),
    word(
        "kernel",
        "data_path",
        "programs in the kernel; a daemon that cannot load or prove them does not start",
        DATA_PATH,
    ),
    word(
        "user",
        "data_path",
        "the daemon itself; no program is loaded for its packets",
        DATA_PATH,
    ),
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
