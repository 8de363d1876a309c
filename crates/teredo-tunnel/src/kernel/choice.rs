//! The data path that the operator asks for, by name.

use std::fmt;
use std::str::FromStr;

use super::DataPathChoice;

/// A text that names no [`DataPathChoice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 'auto', 'kernel' or 'user'")]
pub struct ParseDataPathError;

impl DataPathChoice {
    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::User => "user",
        }
    }
}

impl fmt::Display for DataPathChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DataPathChoice {
    type Err = ParseDataPathError;

    fn from_str(text: &str) -> Result<Self, ParseDataPathError> {
        let all = [Self::Auto, Self::Kernel, Self::User];
        let named = all.into_iter().find(|choice| choice.name() == text);
        named.ok_or(ParseDataPathError)
    }
}
