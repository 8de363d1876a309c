//! Checks that the protocol, the NATs, the simulator and the reader of captures do no I/O, read no clock and draw no random
//! numbers.
//!
//! There are three checks: a list of the crates that they may depend on; the `clippy.toml` in their folders, which
//! forbids those parts of the standard library; and, if rustup has the target, a build for wasm32-unknown-unknown, for
//! which crates that need an operating system do not compile.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::command::{capture, cargo, run, rustc, say};
use crate::tree;

/// The crates without I/O.
pub(crate) const PURE: &[&str] = &["teredo", "teredo-nat", "teredo-sim", "teredo-trace"];

/// The crates that they may depend on, directly or not: arithmetic, macros, packets and capture files in memory (etherparse,
/// pcap-parser), words for numbers and colours (humantime, anstyle), serde, and each other.
const ALLOWED: &[&str] = &[
    "anstyle",
    "arrayvec",
    "block-buffer",
    "cfg-if",
    "chacha20",
    "circular",
    "cmov",
    "cpufeatures",
    "crypto-common",
    "ctutils",
    "digest",
    "etherparse",
    "hmac",
    "humantime",
    "hybrid-array",
    "memchr",
    "nom",
    "pcap-parser",
    "ppv-lite86",
    "proc-macro2",
    "quote",
    "rand_chacha",
    "rand_core",
    "rusticata-macros",
    "serde",
    "serde_core",
    "serde_derive",
    "sha1",
    "siphasher",
    "syn",
    "teredo",
    "teredo-nat",
    "teredo-sim",
    "teredo-trace",
    "thiserror",
    "thiserror-impl",
    "typenum",
    "unicode-ident",
    "zerocopy",
    "zeroize",
];

/// The least that the `clippy.toml` of a crate without I/O must forbid.
const FORBIDDEN: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::fs::File",
    "std::fs::read",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::process::Command",
    "std::env::var",
];

const WASM: &str = "wasm32-unknown-unknown";

/// Checks all three parts; clippy itself runs as a step of its own.
pub(crate) fn check() -> Result<()> {
    for name in PURE {
        let tree = capture(&mut cargo(&[
            "tree", "--locked", "-p", name, "-e", "normal", "--prefix", "none", "-f", "{p}",
        ]))?;
        let strangers = strangers(&tree);
        ensure!(
            strangers.is_empty(),
            "{name} depends on {}: a crate without I/O may not, unless dev/xtask/src/no_io.rs says why it is harmless",
            strangers.into_iter().collect::<Vec<_>>().join(", ")
        );
        let folder = match *name {
            "teredo-sim" => String::from("dev/sim"),
            name => format!("crates/{name}"),
        };
        let configuration = format!("{folder}/clippy.toml");
        let text = tree::read(&configuration)?;
        for path in FORBIDDEN {
            ensure!(
                text.contains(&format!("\"{path}\"")),
                "{configuration} does not forbid {path}"
            );
        }
    }
    if has_wasm()? {
        run(&mut cargo(&[
            "build",
            "--locked",
            "--target",
            WASM,
            "-p",
            "teredo",
            "-p",
            "teredo-nat",
            "-p",
            "teredo-sim",
            "-p",
            "teredo-trace",
        ]))
    } else {
        say(format_args!(
            "    no build for {WASM} (rustup target add {WASM}): the lists of crates and methods stand alone"
        ))
    }
}

/// The names in the output of `cargo tree` that are not allowed.
fn strangers(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && !ALLOWED.contains(name))
        .collect()
}

/// Whether the standard library for wasm32 is installed.
fn has_wasm() -> Result<bool> {
    let folder = capture(&mut rustc(&["--print", "target-libdir", "--target", WASM]))
        .context("cannot ask rustc for its targets")?;
    Ok(std::path::Path::new(folder.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_not_listed_is_a_stranger() {
        let tree = "teredo v0.1.0 (/src/crates/teredo)\nsha1 v0.11.0\nlibc v0.2.0\ngetrandom v0.4.3 (*)\n\n";
        assert_eq!(
            strangers(tree).into_iter().collect::<Vec<_>>(),
            ["getrandom", "libc"]
        );
    }
}
