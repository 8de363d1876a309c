//! Numbers and switches as miredo reads them.

/// A number as C's `strtoul` reads it: decimal, octal with a leading zero, or hexadecimal.
pub(super) fn number(text: &str) -> Option<u16> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // `from_str_radix` accepts a sign.
    let plain = digits.chars().all(|c| c.is_digit(radix));
    plain.then(|| u16::from_str_radix(digits, radix).ok())?
}

/// A switch: a word, or a number other than 0.
pub(super) fn switch(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(["yes", "true", "on", "enabled"]) {
        Some(true)
    } else if is_one_of(["no", "false", "off", "disabled"]) {
        Some(false)
    } else {
        number(text).map(|number| number != 0)
    }
}
