//! Secret files, and `teredo secret`.
//!
//! A line is `NAME:SECRET` or `NAME:SECRET WORD`; the secret is 16 to 64 bytes in base64. Empty lines and lines that
//! begin with `#` are ignored. In a server's file the word is `retired`; in a client's file it is the server that the
//! line is for.
//!
//! Anyone who can read the file can pose as the client. So the file must belong to root or to the user of this process,
//! and no other user may read it. A group may read a file of root's, for a service that does not run as root
//! (`chown root:teredo`, `chmod 640`).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str;

use base64ct::{Base64, Encoding as _};
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};
use teredo::Identifier;
use teredo::wire::Secret;
use zeroize::Zeroizing;

use crate::args::{SecretCommand, value};
use crate::failure::{Exit, Failure};
use crate::file;
use crate::output::Output;

/// The longest file, in bytes: several thousand clients.
const MAX_FILE: u64 = 1 << 20;
/// An observer on the path could guess a shorter secret.
const MIN_SECRET: usize = 16;
/// The block size of the hash; more bytes would be hashed down to fewer (RFC 2104 §2).
const MAX_SECRET: usize = 64;
/// The output size of the hash, as RFC 2104 §3 recommends.
const NEW_SECRET: usize = 20;

const HOW_TO_MAKE: &str = "a line is 'NAME:SECRET'; 'teredo secret new NAME' prints one";

/// A line of a secret file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) identifier: Identifier,
    pub(crate) secret: Secret,
    /// The word after the secret.
    pub(crate) word: Option<String>,
}

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot read the secret file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotRegular { path: PathBuf },
    #[error("{} can be read or changed by other users (mode {mode:04o})", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{} belongs to another user (uid {owner})", path.display())]
    ForeignOwner { path: PathBuf, owner: u32 },
    #[error("{} has more than {MAX_FILE} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("there is no secret in {}", path.display())]
    Empty { path: PathBuf },
    /// Does not quote the line, which may hold a secret.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        problem: String,
    },
}

impl SecretError {
    pub(crate) fn syntax(path: &Path, line: usize, problem: impl Into<String>) -> Self {
        Self::Syntax {
            path: path.to_owned(),
            line,
            problem: problem.into(),
        }
    }

    /// The next step, where there is one to recommend.
    pub(crate) fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => format!(
                "create it: '(umask 077; teredo secret new NAME > {})'",
                path.display()
            ),
            Self::Read { .. } => return None,
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            Self::ForeignOwner { path, .. } => format!("chown root {}", path.display()),
            Self::NotRegular { .. } | Self::TooLong { .. } => {
                String::from("a secret file has one line 'NAME:SECRET' per client")
            }
            Self::Empty { .. } | Self::Syntax { .. } => HOW_TO_MAKE.to_owned(),
        })
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let what = error.to_string();
        let exit = match &error {
            SecretError::Read { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NotPermitted
            }
            SecretError::Exposed { .. } | SecretError::ForeignOwner { .. } => Exit::NotPermitted,
            _ => Exit::Failed,
        };
        let remedy = error.remedy();
        let mut failure = Self::new(exit, what).of_settings();
        if let SecretError::Read { source, .. } = error {
            failure = failure.because(source);
        }
        match remedy {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        }
    }
}

/// Reads the entries of a file, at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, SecretError> {
    let failed = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let file = file::open(path).map_err(failed)?;
    // Checks the open file; another may have the name by now.
    let metadata = file.metadata().map_err(failed)?;
    check(path, metadata.is_file(), metadata.mode(), metadata.uid())?;
    let text = contents(path, file, metadata.len())?;
    parse(path, &text)
}

fn check(path: &Path, regular: bool, mode: u32, owner: u32) -> Result<(), SecretError> {
    let path = path.to_owned();
    let mode = mode & 0o7777;
    if !regular {
        return Err(SecretError::NotRegular { path });
    }
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(SecretError::ForeignOwner { path, owner });
    }
    let open_to_a_group = if owner == 0 { 0o040 } else { 0 };
    if mode & 0o077 & !open_to_a_group != 0 {
        return Err(SecretError::Exposed { path, mode });
    }
    Ok(())
}

fn contents(path: &Path, file: File, len: u64) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let too_long = || SecretError::TooLong {
        path: path.to_owned(),
    };
    if len > MAX_FILE {
        return Err(too_long());
    }
    // Large enough for the file and for the read past its end: a buffer that grows leaves a copy of the secrets behind.
    let mut text = Zeroizing::new(Vec::with_capacity(len as usize + 64));
    let read = file.take(MAX_FILE + 1).read_to_end(&mut text);
    let read = read.map_err(|source| SecretError::Read {
        path: path.to_owned(),
        source,
    })?;
    if read as u64 > MAX_FILE {
        return Err(too_long());
    }
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<Vec<Entry>, SecretError> {
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let entry = entry(number, line.trim_ascii())
            .map_err(|problem| SecretError::syntax(path, number, problem))?;
        entries.extend(entry);
    }
    if entries.is_empty() {
        return Err(SecretError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(entries)
}

fn entry(number: usize, line: &[u8]) -> Result<Option<Entry>, String> {
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let line = str::from_utf8(line).map_err(|_| String::from("the line is not UTF-8 text"))?;
    let (name, rest) = line
        .split_once(':')
        .ok_or("expected NAME:SECRET; the colon is missing")?;
    let name = value::identifier(name)?;
    let mut words = rest.split_ascii_whitespace();
    let secret = words.next().ok_or("there is no secret after the colon")?;
    let secret =
        Zeroizing::new(Base64::decode_vec(secret).map_err(|_| "the secret is not in base64")?);
    if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) {
        return Err(format!(
            "the secret has {} bytes; expected {MIN_SECRET} to {MAX_SECRET}",
            secret.len()
        ));
    }
    let word = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(String::from("more than one word follows the secret"));
    }
    let identifier = Identifier::new(name.as_bytes()).ok_or("a name has 1 to 255 bytes")?;
    Ok(Some(Entry {
        line: number,
        identifier,
        secret: Secret::new(&secret),
        word,
    }))
}

/// `teredo secret new`.
pub(crate) fn run(command: &SecretCommand, output: &mut Output) -> Result<Exit, Failure> {
    let SecretCommand::New { name } = command;
    let mut bytes = Zeroizing::new([0; NEW_SECRET]);
    // Up to 256 bytes are returned in full or not at all (getrandom(2)).
    let random = getrandom(&mut bytes[..], GetRandomFlags::empty());
    random.map_err(|error| {
        Failure::new(Exit::Failed, "cannot get random bytes from the kernel").because(error)
    })?;
    let secret = Zeroizing::new(Base64::encode_string(&bytes[..]));
    output.line(format_args!("{name}:{}", &*secret))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
