//! Quantities and foreign text for people.

use std::time::Duration;

/// A length of time in its two largest units: `2h 13m`, `28s`, `6ms`, `740us`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, 0) if time.as_micros() < 1000 => format!("{}us", time.as_micros()),
        (0, 0, 0, 0) => format!("{}ms", time.as_millis()),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

/// A number of bytes with a binary prefix: `512 B`, `12.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // Below 1023.95, so that rounding does not print "1024.0".
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Text from elsewhere, such as a process' name, without the means to drive a terminal or to change the order in which
/// it shows letters.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c| if is_unseen(c) { '?' } else { c };
    text.chars().map(shown).collect()
}

/// Whether a terminal obeys or hides the character: control characters, the directional characters of UAX #9, and those
/// without a width.
pub(crate) fn is_unseen(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(
        c,
        '\u{ad}' | '\u{200b}' | '\u{2028}'..='\u{2029}' | '\u{2060}' | '\u{feff}'
    );
    directs || hides || c.is_control()
}

#[cfg(test)]
mod tests;
