//! "Did you mean": the known word nearest to a mistyped one.

/// The candidate within a third of `word`'s length in edits, the nearest first.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(edits, _)| edits <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, blind to case and to `-` for `_`.
fn distance(a: &str, b: &str) -> usize {
    let fold = |word: &str| word.replace('-', "_").to_ascii_lowercase();
    strsim::levenshtein(&fold(a), &fold(b))
}

#[cfg(test)]
mod tests;
