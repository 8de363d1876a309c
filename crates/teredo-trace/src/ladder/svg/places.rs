//! Where the columns of a picture are: so far apart that each label fits above its arrow.

use crate::ladder::{Arrow, Column, Row, shortened};

/// The least distance of two columns in pixels, and the largest for the sake of a label.
const SPACING: usize = 190;
const WIDEST: usize = 420;
/// The place of the first column.
const LEFT: usize = 180;
/// Half the width of a column's head, at least and at most.
const HALF: usize = 82;
const WIDEST_HALF: usize = 125;
/// The least room between two heads.
const BETWEEN: usize = 24;
/// The room of a label beyond its text, for the tip of the arrow.
const ROOM: usize = 20;
/// The distance of a label from the column that a line comes back to.
const BESIDE: usize = 32;
/// The least distance of a label from the left edge, behind number and time.
const LEFTMOST: usize = 110;
/// The most characters of a text; the rest is in the tool tip.
pub(super) const LONGEST: usize = 100;

/// The places of all columns in pixels.
#[derive(Debug)]
pub(super) struct Places {
    columns: Vec<usize>,
    halves: Vec<usize>,
}

impl Places {
    pub(super) fn new(columns: &[Column], rows: &[Row]) -> Self {
        let halves: Vec<usize> = columns
            .iter()
            .map(|column| (title_width(&column.title) / 2 + 10).clamp(HALF, WIDEST_HALF))
            .collect();
        let mut gaps: Vec<usize> = halves
            .windows(2)
            .map(|pair| SPACING.max(pair.iter().sum::<usize>() + BETWEEN))
            .collect();
        let arrows = rows.iter().filter_map(|row| match row {
            Row::Arrow(arrow) if arrow.from != arrow.to => Some(arrow),
            _ => None,
        });
        for arrow in arrows {
            widen(&mut gaps, arrow);
        }
        let mut at = LEFT;
        let mut places = vec![at];
        places.extend(gaps.iter().map(|gap| {
            at += gap;
            at
        }));
        Self {
            columns: places,
            halves,
        }
    }

    pub(super) fn of(&self, column: usize) -> usize {
        self.columns.get(column).copied().unwrap_or(LEFT)
    }

    /// Half the width of a column's head.
    pub(super) fn half(&self, column: usize) -> usize {
        self.halves.get(column).copied().unwrap_or(HALF)
    }

    pub(super) fn last(&self) -> usize {
        self.columns.last().copied().unwrap_or(LEFT)
    }

    /// Whether a column is in the right half.
    pub(super) const fn is_right(&self, column: usize) -> bool {
        2 * column >= self.columns.len()
    }

    /// The end of an arrow.
    pub(super) fn stop(&self, arrow: &Arrow) -> usize {
        match &arrow.crossing {
            // In halves of a column.
            Some(crossing) => usize::midpoint(
                self.of(crossing.halves / 2),
                self.of(crossing.halves.div_ceil(2)),
            ),
            None => self.of(arrow.to),
        }
    }
}

/// Widens the gaps below a label that is longer than its arrow.
fn widen(gaps: &mut [usize], arrow: &Arrow) {
    let wanted = width(&shortened(&arrow.label, LONGEST)) + ROOM;
    // An arrow that is crossed out halfway between two columns covers half of the last gap.
    let stop = (arrow.crossing.as_ref()).map_or(2 * arrow.to, |crossing| crossing.halves);
    let (low, high) = (stop.min(2 * arrow.from), stop.max(2 * arrow.from));
    let covered = |gaps: &[usize]| -> usize { (low..high).map(|half| half_of(gaps, half)).sum() };
    let missing = wanted.saturating_sub(covered(gaps));
    if missing == 0 || high == low {
        return;
    }
    let share = (2 * missing).div_ceil(high - low);
    for gap in gaps.iter_mut().take(high.div_ceil(2)).skip(low / 2) {
        *gap = (*gap + share).min(WIDEST.max(*gap));
    }
}

/// The width of a half gap.
fn half_of(gaps: &[usize], half: usize) -> usize {
    gaps.get(half / 2).map_or(0, |gap| gap / 2)
}

/// The width of a text in the small font, more or less.
pub(super) fn width(text: &str) -> usize {
    text.chars().count() * 13 / 2
}

/// The width of a title, which is bold.
fn title_width(title: &str) -> usize {
    title.chars().count() * 15 / 2
}

/// A size in pixels for a title that is wider than its box.
pub(super) fn smaller(title: &str, half: usize) -> Option<usize> {
    let (width, room) = (title_width(title), 2 * half - 12);
    (width > room).then(|| (12 * room / width).max(7))
}

/// The name of a datagram, in the middle above the line.
pub(super) struct Label {
    pub(super) text: String,
    pub(super) centre: usize,
    pub(super) half: usize,
}

impl Label {
    pub(super) fn of(arrow: &Arrow, places: &Places) -> Self {
        let text = shortened(&arrow.label, LONGEST);
        let half = width(&text).div_ceil(2);
        let to = places.of(arrow.to);
        let centre = match (arrow.from == arrow.to, places.is_right(arrow.from)) {
            (true, true) => to.saturating_sub(BESIDE + half),
            (true, false) => to + BESIDE + half,
            (false, _) => usize::midpoint(places.of(arrow.from), places.stop(arrow)),
        };
        let centre = centre.max(LEFTMOST + half);
        Self { text, centre, half }
    }

    /// The right end, with a margin.
    pub(super) const fn end(&self) -> usize {
        self.centre + self.half + 20
    }
}

/// The reason of a crossing, behind the end as the datagram went.
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) left: usize,
    pub(super) width: usize,
}

impl Reason {
    pub(super) fn of(arrow: &Arrow, places: &Places) -> Option<Self> {
        let text = shortened(&arrow.crossing.as_ref()?.reason, LONGEST);
        // The font is a little smaller.
        let width = text.chars().count() * 6;
        let stop = places.stop(arrow);
        let left = match places.of(arrow.to) < places.of(arrow.from) {
            true => stop.saturating_sub(10 + width),
            false => stop + 10,
        };
        // Not over number and time.
        let left = left.max(LEFTMOST);
        Some(Self { text, left, width })
    }

    pub(super) const fn end(&self) -> usize {
        self.left + self.width + 20
    }
}
