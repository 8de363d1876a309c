//! The requirements, each with the code that meets it and the tests that show it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Found;
use super::list::{List, Reason, Requirement};
use super::source::{Kind, Mention};

/// Each requirement with its mentions.
pub(super) struct Table<'a> {
    pub(super) rows: BTreeMap<&'a str, Row<'a>>,
}

pub(super) struct Row<'a> {
    pub(super) requirement: &'a Requirement,
    pub(super) code: Vec<&'a Mention>,
    pub(super) tests: Vec<&'a Mention>,
    pub(super) reason: Option<Reason<'a>>,
}

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Met, and a test shows it.
    Shown,
    /// Met; no test shows it, for a reason.
    Untested,
    /// Not met, for a reason.
    Unmet,
    /// Still to be built.
    NotYet,
    /// An interpretation of a passage, which is neither met nor unmet.
    Reading,
    /// Neither met nor excused.
    Open,
}

impl Row<'_> {
    pub(super) fn standing(&self) -> Standing {
        match self.reason {
            _ if self.requirement.level().word == "reading" => Standing::Reading,
            Some(Reason::NotYet(_)) => Standing::NotYet,
            Some(Reason::Given(_)) if self.code.is_empty() => Standing::Unmet,
            Some(Reason::Given(_)) => Standing::Untested,
            None if self.code.is_empty() || self.tests.is_empty() => Standing::Open,
            None => Standing::Shown,
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(list: &'a List, mentions: &'a [Mention]) -> Self {
        let row = |requirement: &'a Requirement| {
            let of = |kind| {
                let wanted = move |mention: &&Mention| {
                    mention.kind == kind && mention.id == requirement.id()
                };
                mentions.iter().filter(wanted).collect()
            };
            let row = Row {
                requirement,
                code: of(Kind::Code),
                tests: of(Kind::Test),
                reason: list.reason(requirement.id()),
            };
            (requirement.id(), row)
        };
        Self {
            rows: list.requirements().map(row).collect(),
        }
    }

    pub(super) fn count(&self, wanted: impl Fn(&Row<'_>) -> bool) -> usize {
        self.rows.values().filter(|row| wanted(row)).count()
    }

    /// The whole in one line.
    pub(super) fn tally(&self) -> String {
        let all = self.count(|row| row.standing() != Standing::Reading);
        let mut text = format!("{all} requirements");
        for (standing, words) in [
            (Standing::Shown, "met and shown by a test"),
            (Standing::Untested, "met without a test, for a reason"),
            (Standing::Unmet, "not met, for a reason"),
            (Standing::NotYet, "not there yet"),
            (Standing::Open, "open"),
        ] {
            let count = self.count(|row| row.standing() == standing);
            if count > 0 {
                let separator = if text.contains(':') { ',' } else { ':' };
                // Writing into a string does not fail.
                let _ = write!(text, "{separator} {count} {words}");
            }
        }
        text
    }

    /// The faults, in the order of the list.
    pub(super) fn faults(&self, list: &List, found: &Found) -> Vec<String> {
        let mut faults = found.broken.clone();
        for mention in &found.mentions {
            if !list.contains(&mention.id) {
                faults.push(format!("{}: {} is not listed", mention.file, mention.id));
            }
        }
        for requirement in list.requirements() {
            let id = requirement.id();
            let row = &self.rows[id];
            if row.reason.is_some() && !row.tests.is_empty() {
                faults.push(format!(
                    "{id}: there is a reason why no test shows it, and {} does",
                    at(row.tests[0])
                ));
            }
            if row.standing() != Standing::Open {
                continue;
            }
            if row.tests.is_empty() {
                faults.push(format!(
                    "{id}: neither a test nor a reason: {}",
                    requirement.text()
                ));
            }
            if row.code.is_empty() {
                faults.push(format!(
                    "{id}: no code says that it does it, and there is no reason: {}",
                    requirement.text()
                ));
            }
        }
        faults
    }
}

fn at(mention: &Mention) -> String {
    match &mention.item {
        Some(item) => format!("{item} in {}", mention.file),
        None => mention.file.clone(),
    }
}
