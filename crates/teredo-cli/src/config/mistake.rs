//! A mistake in the configuration: where it is, what is wrong, and what to do.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::args::variables::WrongVariable;
use crate::failure::{Exit, Failure};
use crate::nearest::nearest;
use crate::secret::SecretError;
use crate::settings::Conflict;
use crate::text::plain;

use super::Place;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mistake {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{place}: {message}")]
    Syntax { place: Place, message: String },
    #[error("{place}: unknown key '{}'", plain(key))]
    UnknownKey {
        place: Place,
        /// The section that the key is in; `None` for a key outside of all sections.
        section: Option<String>,
        key: String,
        /// The keys that the section knows.
        known: Vec<String>,
        /// The sections that know the key.
        elsewhere: Vec<String>,
    },
    #[error("{place}: '{key}' is a section, not a key")]
    NotSection { place: Place, key: String },
    #[error("{place}: {section}.{key}: {message}")]
    Value {
        place: Place,
        section: String,
        key: String,
        message: String,
    },
    /// Keys that are valid one by one, but not together; without a place if an option takes part.
    #[error("{}{conflict}", prefix(place))]
    Conflict {
        place: Option<Place>,
        conflict: Conflict,
    },
    /// The file of secrets that a key names.
    #[error("{place}: {section}.secret_file: {}", chain(error))]
    Secret {
        place: Place,
        section: &'static str,
        error: SecretError,
    },
    /// A variable of the environment, whatever the files say.
    #[error("{0}")]
    Variable(WrongVariable),
}

impl Mistake {
    /// Whether what is known of `section` may be incomplete, so that its keys cannot be judged together.
    pub(super) fn spoils(&self, section: &str) -> bool {
        match self {
            Self::Read { .. } | Self::Syntax { .. } => true,
            Self::UnknownKey { section: own, .. } => own.as_deref() == Some(section),
            Self::NotSection { key, .. } => key == section,
            Self::Value { section: own, .. } => own == section,
            Self::Conflict { .. } | Self::Secret { .. } | Self::Variable(_) => false,
        }
    }

    /// The file and the line, as far as there is one.
    pub(super) fn position(&self) -> (Option<&Path>, usize) {
        match self {
            Self::Read { path, .. } => (Some(path), 0),
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::NotSection { place, .. }
            | Self::Value { place, .. }
            | Self::Secret { place, .. }
            | Self::Conflict {
                place: Some(place), ..
            } => (Some(&place.file), place.line),
            Self::Conflict { place: None, .. } | Self::Variable(_) => (None, 0),
        }
    }

    /// The next step, where it differs from "correct the line".
    fn remedy(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some(String::from(
                "check that the file exists and that this user may read it",
            )),
            Self::Syntax { .. } | Self::Value { .. } => None,
            Self::UnknownKey {
                section,
                key,
                known,
                elsewhere,
                ..
            } => Some(match nearest(key, known.iter().map(String::as_str)) {
                Some(word) => format!("did you mean '{word}'?"),
                None if !elsewhere.is_empty() => {
                    format!("'{key}' is a key of [{}]", elsewhere.join("] and ["))
                }
                None if section.is_none() => format!("known sections: {}", known.join(", ")),
                None => format!("known keys: {}", known.join(", ")),
            }),
            Self::NotSection { key, .. } => Some(format!(
                "write '[{key}]' on a line of its own, and the keys of the section below it"
            )),
            Self::Conflict { conflict, .. } => Some(conflict.remedy().to_owned()),
            Self::Secret { error, .. } => error.remedy(),
            Self::Variable(wrong) => Some(wrong.remedy()),
        }
    }

    /// The exit code of a command that fails for this alone.
    fn exit(&self) -> Exit {
        match self {
            Self::Conflict { .. } | Self::Variable(_) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

/// A file of secrets without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmptySecrets {
    /// The section that names the file, which is the daemon's name.
    pub(crate) section: &'static str,
    pub(crate) file: PathBuf,
}

/// Every mistake that was found.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    list: Vec<Mistake>,
    /// The command that finds them again.
    check: Option<String>,
}

impl Mistakes {
    /// None yet; `chosen` is the file that the user named instead of the default one.
    pub(super) fn of(chosen: Option<&Path>) -> Self {
        let check = match chosen {
            None => String::from("teredo config check"),
            Some(file) => format!("teredo config check {}", file.display()),
        };
        Self {
            list: Vec::new(),
            check: Some(check),
        }
    }

    /// Without a place, an option of the command line takes part.
    pub(crate) fn from_conflicts(conflicts: Vec<(Option<Place>, Conflict)>) -> Self {
        let mistake = |(place, conflict)| Mistake::Conflict { place, conflict };
        Self {
            list: conflicts.into_iter().map(mistake).collect(),
            check: None,
        }
    }

    pub(super) fn extend(&mut self, further: impl IntoIterator<Item = Mistake>) {
        self.list.extend(further);
    }

    /// Each in one line, with its next step.
    pub(super) fn described(&self) -> Vec<(String, Option<String>)> {
        let list = self.list.iter();
        list.map(|mistake| (mistake.to_string(), mistake.remedy()))
            .collect()
    }

    pub(super) fn empty_secrets(&self) -> Vec<EmptySecrets> {
        let empty = |mistake: &Mistake| match mistake {
            Mistake::Secret {
                section,
                error: SecretError::Empty { path },
                ..
            } => Some(EmptySecrets {
                section,
                file: path.clone(),
            }),
            _ => None,
        };
        self.list.iter().filter_map(empty).collect()
    }

    pub(super) fn spoil(&self, section: &str) -> bool {
        self.list.iter().any(|mistake| mistake.spoils(section))
    }

    /// Sorts by file, in the order of `files`, and by line.
    pub(super) fn sort(&mut self, files: &[PathBuf]) {
        self.list.sort_by_key(|mistake| {
            let (file, line) = mistake.position();
            let index = files.iter().position(|other| Some(other.as_path()) == file);
            (index, line)
        });
    }

    /// `value` if there is no mistake.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.list.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl From<Mistakes> for Failure {
    /// One mistake is one line, with its hint; several are a list with a line for each.
    fn from(mistakes: Mistakes) -> Self {
        let exits = mistakes.list.iter().map(Mistake::exit);
        let exit = if exits.clone().all(|exit| exit == Exit::Usage) {
            Exit::Usage
        } else {
            Exit::Failed
        };
        let again = mistakes
            .check
            .map(|command| format!(", then try '{command}'"));
        let again = again.unwrap_or_default();
        match &mistakes.list[..] {
            [only] => {
                let usual = || format!("correct the line{again}");
                Self::new(exit, only.to_string())
                    .hint(only.remedy().unwrap_or_else(usual))
                    .of_settings()
            }
            several => {
                let mut what = format!("{} mistakes in the settings:", several.len());
                for mistake in several {
                    // Writing to a `String` cannot fail.
                    let _ = match mistake.remedy() {
                        Some(remedy) => write!(what, "\n{mistake}; {remedy}"),
                        None => write!(what, "\n{mistake}"),
                    };
                }
                Self::new(exit, what)
                    .hint(format!("correct each of these{again}"))
                    .of_settings()
            }
        }
    }
}

fn prefix(place: &Option<Place>) -> String {
    match place {
        Some(place) => format!("{place}: "),
        None => String::new(),
    }
}

/// An error and what caused it.
fn chain(error: &SecretError) -> String {
    match error {
        SecretError::Read { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
