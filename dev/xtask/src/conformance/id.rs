//! The IDs of requirements, and how they stand in texts.

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
