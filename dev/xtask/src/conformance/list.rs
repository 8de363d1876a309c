//! `docs/conformance.toml`: the requirements, and why some of them are not met or not tested.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

/// The list, with every ID in it once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    #[serde(rename = "section")]
    pub(super) sections: Vec<Section>,
    /// Why a requirement is not met, or is met and has no test.
    #[serde(default)]
    reasons: BTreeMap<String, String>,
    /// The parts that are still to be built, each with the requirements that wait for it.
    #[serde(default)]
    not_yet: BTreeMap<String, Vec<String>>,
}

/// Requirements that belong together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) title: String,
    /// The text that they come from.
    pub(super) source: String,
    pub(super) requirements: Vec<Requirement>,
}

/// ID, roles, level, and what is required.
#[derive(Debug, Deserialize)]
pub(super) struct Requirement(
    pub(super) String,
    String,
    pub(super) Level,
    pub(super) String,
);

impl Requirement {
    pub(super) fn id(&self) -> &str {
        &self.0
    }

    pub(super) fn roles(&self) -> impl Iterator<Item = &str> {
        self.1.split(", ")
    }

    pub(super) fn level(&self) -> &Level {
        &self.2
    }

    pub(super) fn text(&self) -> &str {
        &self.3
    }
}

/// How binding a requirement is, in the word of its text.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(super) struct Level {
    pub(super) word: String,
    pub(super) strength: Strength,
}

/// The levels, independent of capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Must,
    Should,
    May,
    Inferred,
    Contract,
    Note,
}

impl Strength {
    pub(super) const ALL: [Self; 6] = [
        Self::Must,
        Self::Should,
        Self::May,
        Self::Inferred,
        Self::Contract,
        Self::Note,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
            Self::Inferred => "inferred",
            Self::Contract => "contract",
            Self::Note => "note",
        }
    }
}

impl TryFrom<String> for Level {
    type Error = anyhow::Error;

    fn try_from(word: String) -> Result<Self> {
        let strength = match word.to_lowercase().as_str() {
            "must" | "must not" => Strength::Must,
            "should" | "should not" | "recommended" | "not recommended" => Strength::Should,
            "may" => Strength::May,
            "inferred" => Strength::Inferred,
            "doc" | "ours" => Strength::Contract,
            "informative" | "reading" => Strength::Note,
            _ => bail!("`{word}` is no level"),
        };
        Ok(Self { word, strength })
    }
}

/// Why a requirement is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason<'a> {
    /// By decision, or because no test can show it.
    Given(&'a str),
    /// It waits for this part.
    NotYet(&'a str),
}

impl List {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text)?;
        let mut seen = BTreeSet::new();
        for requirement in list.requirements() {
            let id = requirement.id();
            ensure!(is_id(id), "`{id}` is no requirement ID");
            ensure!(seen.insert(id), "{id} is listed twice");
        }
        let mut excused = BTreeSet::new();
        for id in list.reasons.keys().chain(list.not_yet.values().flatten()) {
            ensure!(
                seen.contains(id.as_str()),
                "a reason for {id}, which is not listed"
            );
            ensure!(excused.insert(id), "two reasons for {id}");
        }
        Ok(list)
    }

    pub(super) fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.sections
            .iter()
            .flat_map(|section| &section.requirements)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.requirements()
            .any(|requirement| requirement.id() == id)
    }

    pub(super) fn reason(&self, id: &str) -> Option<Reason<'_>> {
        let given = self.reasons.get(id).map(|reason| Reason::Given(reason));
        given.or_else(|| {
            let mut waiting = self.not_yet.iter();
            let (what, _) = waiting.find(|(_, ids)| ids.iter().any(|waiting| waiting == id))?;
            Some(Reason::NotYet(what))
        })
    }

    /// The first role is the one that a section of the summary begins with.
    pub(super) fn roles(&self) -> Vec<&str> {
        let mut roles = Vec::new();
        for role in self.requirements().flat_map(Requirement::roles) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        roles
    }
}

/// The IDs in a text, in order.
pub(super) fn ids(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    text.split(move |c: char| !part(c))
        .map(|word| word.trim_matches(['-', '.']))
        .filter(|word| is_id(word))
}

/// `N-01`, `F-1`, `L-01`, `W-01`, `A-06`, `R4380-5.2.1-03`, `R4380-GU-01`, `R-OLD-01`: a family, for texts of the IETF a
/// section or a topic, and a number.
pub(super) fn is_id(word: &str) -> bool {
    let Some((family, rest)) = word.split_once('-') else {
        return false;
    };
    let number = rest.rsplit('-').next().unwrap_or(rest);
    let numbered = (1..=2).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    let of_a_text = family
        .strip_prefix('R')
        .is_some_and(|text| text.chars().all(|c| c.is_ascii_digit()));
    numbered
        && if of_a_text {
            rest.contains('-')
        } else {
            ["N", "F", "L", "W", "A"].contains(&family) && rest == number
        }
}
