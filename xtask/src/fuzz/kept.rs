//! The inputs that are kept of a fuzz target: `fuzz/kept/TARGET.txt`, each a line of base64, the shortest first.
//!
//! The fuzzer itself wants a folder with one file an input, of which there are thousands: `fuzz/corpus/TARGET`, which
//! is nobody's but one's own.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64ct::{Base64, Encoding as _};

use crate::command::say;
use crate::tree;

/// Where the fuzzer puts what it finds.
pub(super) fn found(target: &str) -> PathBuf {
    tree::root().join("fuzz/corpus").join(target)
}

fn packed(target: &str) -> PathBuf {
    tree::root().join(format!("fuzz/kept/{target}.txt"))
}

/// Gives the fuzzer what is kept to begin with.
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

/// Replaces what is kept by the files in `folder`.
pub(super) fn pack(target: &str, folder: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    let listing =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in listing {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        inputs.push(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    let text = encode(inputs);
    ensure!(!text.is_empty(), "no inputs to keep of {target}");
    let file = packed(target);
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    say(format_args!(
        "    {} inputs, {} bytes in fuzz/kept/{target}.txt",
        text.lines().count(),
        text.len()
    ))
}

/// The empty input is left out: it is an empty line, and every fuzzer tries it by itself.
fn encode(mut inputs: Vec<Vec<u8>>) -> String {
    inputs.retain(|input| !input.is_empty());
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
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
