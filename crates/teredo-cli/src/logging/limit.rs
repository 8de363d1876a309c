//! At most one line an hour of what repeats, with the number of those that were left out; of a line about this node's state, six.
//!
//! A stranger or a broken network can make a program say the same again and again. One rule for every line holds here,
//! instead of a limit at each place that logs.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::time::Duration;

/// How long a line is not said again.
pub(super) const PERIOD: Duration = Duration::from_secs(60 * 60);

/// How often a line about this node's state is said in that time. A second outage within an hour must not look like none; a link
/// that comes and goes all day has said enough.
pub(super) const STATES: u32 = 6;

/// The most different lines of one place within a period. Further ones count as alike, so a
/// sender that varies the text gets no more lines.
pub(super) const VARIANTS: usize = 8;

/// The most places that are told apart. The program has about a hundred.
const PLACES: usize = 512;

/// The lines that were said lately, by the place in the program that they come from.
#[derive(Debug)]
pub(super) struct Limit<P, L> {
    places: HashMap<P, Vec<Said<L>>>,
    /// All places beyond the bound.
    beyond: Vec<Said<L>>,
}

/// A line that was said.
#[derive(Debug)]
struct Said<L> {
    /// `None` for all that were too many to be told apart.
    likeness: Option<u64>,
    /// When its hour began, if it was ever written.
    since: Option<Duration>,
    /// How often it was written in that hour.
    times: u32,
    left_out: u64,
    /// The last line that was left out, and when.
    last: Option<(L, Duration)>,
}

/// A line that was left out, and is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late<L> {
    pub(super) line: L,
    /// How many more like it were left out.
    pub(super) left_out: u64,
    /// For how long it was.
    pub(super) age: Duration,
}

impl<P: Eq + Hash, L> Default for Limit<P, L> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            beyond: Vec::new(),
        }
    }
}

impl<P: Eq + Hash, L> Limit<P, L> {
    /// Gives the line back if it is to be written now, with the number of those like it that were left out before. It is
    /// written `most` times an hour.
    pub(super) fn admit(
        &mut self,
        place: P,
        likeness: u64,
        line: L,
        most: u32,
        now: Duration,
    ) -> Option<(L, u64)> {
        let is_known = self.places.contains_key(&place);
        let lines = if is_known || self.places.len() < PLACES {
            self.places.entry(place).or_default()
        } else {
            &mut self.beyond
        };
        let said = find(lines, likeness, now);
        if !said.is_recent(now) {
            said.begin(now);
        } else if said.times < most {
            said.times += 1;
        } else {
            said.left_out += 1;
            said.last = Some((line, now));
            return None;
        }
        said.last = None;
        Some((line, mem::take(&mut said.left_out)))
    }

    /// Lines that were left out and are due by now; all of them with `all`. So the log never ends with a line that has long
    /// been untrue.
    pub(super) fn due(&mut self, now: Duration, all: bool) -> Vec<Late<L>> {
        let lines = self.places.values_mut().flatten().chain(&mut self.beyond);
        lines
            .filter(|said| all || !said.is_recent(now))
            .filter_map(|said| {
                let (line, at) = said.last.take()?;
                said.begin(now);
                Some(Late {
                    line,
                    // One of those left out is written now.
                    left_out: mem::take(&mut said.left_out) - 1,
                    age: now - at,
                })
            })
            .collect()
    }
}

/// The entry of a line, which may take the place of one that is long past.
fn find<L>(lines: &mut Vec<Said<L>>, likeness: u64, now: Duration) -> &mut Said<L> {
    let position = |likeness| lines.iter().position(|said| said.likeness == likeness);
    let index = if let Some(index) = position(Some(likeness)) {
        index
    } else if lines.len() < VARIANTS {
        push(lines, Some(likeness))
    } else if let Some(index) = lines.iter().position(|said| is_over(said, now)) {
        lines[index] = Said::new(Some(likeness));
        index
    } else {
        position(None).unwrap_or_else(|| push(lines, None))
    };
    &mut lines[index]
}

fn push<L>(lines: &mut Vec<Said<L>>, likeness: Option<u64>) -> usize {
    lines.push(Said::new(likeness));
    lines.len() - 1
}

/// Whether an entry has nothing to tell any more.
fn is_over<L>(said: &Said<L>, now: Duration) -> bool {
    said.likeness.is_some() && said.left_out == 0 && !said.is_recent(now)
}

impl<L> Said<L> {
    const fn new(likeness: Option<u64>) -> Self {
        Self {
            likeness,
            since: None,
            times: 0,
            left_out: 0,
            last: None,
        }
    }

    /// An hour begins, with a line that is written.
    const fn begin(&mut self, now: Duration) {
        (self.since, self.times) = (Some(now), 1);
    }

    fn is_recent(&self, now: Duration) -> bool {
        self.since.is_some_and(|since| now < since + PERIOD)
    }
}

#[cfg(test)]
mod tests;
