//! The words of the results of `teredo lab`. Its NATs are in `nats.rs`.

use super::{NOTHING, Word, word};

const PICTURE: &str = "'--diagram FILE.svg' draws the exchange";

pub(super) const WORDS: &[Word] = &[
    word(
        "path",
        "JSON",
        "whether the two clients reached each other: 'direct' or 'none'; null if the lab ended before they tried",
        PICTURE,
    ),
    word(
        "expected_path",
        "JSON",
        "the same on the simulated internet (docs/nat-matrix.md); null if that does not have these two NATs",
        NOTHING,
    ),
    word(
        "direct",
        "JSON, path",
        "the two clients send to each other's NAT, without a server or relay between them",
        NOTHING,
    ),
    word(
        "none",
        "JSON, path",
        "the two clients found no path: neither NAT lets in what the other one sends",
        PICTURE,
    ),
    word("step", "JSON", "the number of a step, from 1", NOTHING),
    word("title", "JSON", "the name of a step", NOTHING),
    word(
        "ok",
        "JSON",
        "whether the step succeeded; in the last line, whether all did",
        NOTHING,
    ),
    word("error", "JSON", "the reason of a failure", NOTHING),
    word(
        "at_ms",
        "JSON",
        "when the step ended, in milliseconds after the start of the lab",
        NOTHING,
    ),
    word(
        "took_ms",
        "JSON",
        "how long the step or the lab took, in milliseconds",
        NOTHING,
    ),
    word(
        "facts",
        "JSON",
        "the measurements of a step",
        "the page on JSON of the documentation lists them",
    ),
    word("steps", "JSON", "how many steps there were", NOTHING),
    word("failed", "JSON", "how many steps failed", NOTHING),
    word("diagram", "JSON", "the picture that was drawn", NOTHING),
];
