//! The kept inputs of a fuzz target: `dev/fuzz/kept/TARGET.txt`, a line of base64 for each, the shortest first.
//!
//! The fuzzer itself needs a folder with one file for each of its thousands of inputs: `dev/fuzz/corpus/TARGET`, which is
//! not committed.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use base64ct::{Base64, Encoding as _};

use crate::command::say;
use crate::tree;

/// How many bytes of inputs to keep beyond those that coverage needs.
const OTHERS: usize = 64 * 1024;

/// Where the fuzzer puts new inputs.
pub(super) fn found(target: &str) -> PathBuf {
    tree::root().join("dev/fuzz/corpus").join(target)
}

fn packed(target: &str) -> PathBuf {
    tree::root().join(format!("dev/fuzz/kept/{target}.txt"))
}

/// Gives the fuzzer the kept inputs to start from.
pub(super) fn unpack(target: &str) -> Result<()> {
    let folder = found(target);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = packed(target);
    if !file.is_file() {
        return Ok(());
    }
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for input in decode(&text).with_context(|| file.display().to_string())? {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let path = folder.join(format!("kept-{:016x}", hasher.finish()));
        fs::write(&path, input).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The inputs in a folder of the fuzzer.
pub(super) fn inputs(folder: &Path) -> Result<BTreeSet<Vec<u8>>> {
    let listing =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    listing.map(read).collect()
}

/// Replaces the kept inputs by the `needed` ones and the shortest of the `others`.
pub(super) fn pack(
    target: &str,
    needed: BTreeSet<Vec<u8>>,
    others: BTreeSet<Vec<u8>>,
) -> Result<()> {
    let text = encode(choose(needed, others));
    ensure!(!text.is_empty(), "no inputs to keep of {target}");
    let file = packed(target);
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    say(format_args!(
        "    {} inputs, {} bytes in dev/fuzz/kept/{target}.txt",
        text.lines().count(),
        text.len()
    ))
}

fn choose(mut needed: BTreeSet<Vec<u8>>, others: BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut room = OTHERS;
    for input in by_length(others.difference(&needed).cloned().collect()) {
        let Some(left) = room.checked_sub(input.len()) else {
            break;
        };
        room = left;
        needed.insert(input);
    }
    // The empty input would be an empty line, and every fuzzer tries it anyway.
    needed.remove(&Vec::new());
    by_length(needed.into_iter().collect())
}

fn by_length(mut inputs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs
}

fn encode(inputs: Vec<Vec<u8>>) -> String {
    inputs.iter().fold(String::new(), |mut text, input| {
        text.push_str(&Base64::encode_string(input));
        text.push('\n');
        text
    })
}

fn decode(text: &str) -> Result<Vec<Vec<u8>>> {
    let decoded = text.lines().zip(1..).map(|(line, number)| {
        Base64::decode_vec(line).map_err(|error| anyhow::anyhow!("line {number}: {error}"))
    });
    decoded.collect()
}

#[cfg(test)]
mod tests;
