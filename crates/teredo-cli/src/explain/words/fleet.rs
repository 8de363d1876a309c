//! The words of the firewall at the perimeter of a fleet.

use super::{NOTHING, Word, word};

const PERIMETER: &str = "a perimeter";
const REFUSED: &str = "a perimeter, refused";
const PUBLISHER: &str = "the log of the perimeter names the first host; 'journalctl -u teredo-publish' there tells more";

pub(super) const WORDS: &[Word] = &[
    word(
        "in step with the bucket",
        PERIMETER,
        "the set holds what the entries of the bucket say",
        NOTHING,
    ),
    word(
        "not following the bucket",
        PERIMETER,
        "no server is connected, or its entries are not complete yet; what is open closes with its lease",
        "read the line 'trouble'",
    ),
    word(
        "following",
        PERIMETER,
        "whether a server is connected and its entries are complete",
        "if it is false, read 'trouble'",
    ),
    word(
        "in_step",
        PERIMETER,
        "whether the kernel has taken what the entries say",
        "if it is false, read 'trouble'",
    ),
    word(
        "hosts",
        PERIMETER,
        "the hosts with an open endpoint",
        NOTHING,
    ),
    word(
        "refused",
        PERIMETER,
        "the entries of hosts that counted for nothing, by reason",
        "'teredo explain' knows each reason; the log names the host of the first",
    ),
    word(
        "endpoints",
        PERIMETER,
        "the endpoints of hosts that the set holds",
        NOTHING,
    ),
    word(
        "repairs",
        PERIMETER,
        "how often another program changed what the set held, and it was put right",
        "if it grows, find the program: 'nft monitor'",
    ),
    word(
        "refusals",
        PERIMETER,
        "how often the kernel refused a change of the set",
        "read 'trouble'",
    ),
    word(
        "key",
        REFUSED,
        "the name of a key is that of no host",
        "find out who writes it; a host may write its own key alone",
    ),
    word(
        "other_host",
        REFUSED,
        "an entry names another host than its key",
        PUBLISHER,
    ),
    word(
        "address",
        REFUSED,
        "an entry names an address that no host can have, such as one of the loopback",
        PUBLISHER,
    ),
    word(
        "malformed",
        REFUSED,
        "the value of a key is no entry of the schema teredo.port/1",
        PUBLISHER,
    ),
    word(
        "not_granted",
        REFUSED,
        "an entry names an address that its host may not name",
        "if the host is right, grant it: --network HOST=ADDRESS at the perimeter",
    ),
    word(
        "replayed",
        REFUSED,
        "an entry is older than what its host wrote before, or of an earlier boot: somebody repeats it, or two machines have one \
         --host",
        "give each host a --host and a key of its own; a machine that was set back to a saved state is followed again after two \
         leases",
    ),
    word(
        "copied",
        REFUSED,
        "an entry is a copy that a server made for somebody of what it had read from the bucket",
        "find out who may write to the bucket: 'teredo publish nats-config' gives each host an account of its own",
    ),
    word(
        "full",
        REFUSED,
        "the perimeter follows no more hosts",
        "split the fleet between more perimeters",
    ),
];
