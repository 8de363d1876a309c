/// The longest comment that `nft` takes, in bytes.
const MAX: usize = 127;

/// The number of a comment among the user data of a table, a rule or an element; `nft` uses the same for all three.
const COMMENT: u8 = 0;

/// A comment as the type, length and value in which `nft` keeps it, cut after [`MAX`] bytes.
pub(crate) fn encode(comment: &str) -> Vec<u8> {
    let end = (0..=MAX)
        .rev()
        .find(|&end| comment.is_char_boundary(end.min(comment.len())));
    let cut = &comment[..end.unwrap_or(0).min(comment.len())];
    // At most MAX bytes and the NUL.
    let length = cut.len() as u8 + 1;
    [&[COMMENT, length], cut.as_bytes(), &[0]].concat()
}

/// The comment in user data; none if there is none.
pub(crate) fn decode(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        data = next;
    }
    None
}
