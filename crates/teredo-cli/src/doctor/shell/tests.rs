use std::process::Command;

use super::*;

/// bash reads back what was quoted, and a terminal obeys none of it.
#[test]
fn words_are_read_as_they_were() {
    let words = [
        "plain",
        "",
        "it's $HOME",
        "/tmp/x\x1b[2J\u{9b}31m",
        "two\nlines\r",
        "a\u{202e}b\u{2066}c\u{200b}d",
        "back\\slash' and \x07",
    ];
    for word in words {
        let quoted = quote(word);
        assert!(!quoted.contains(is_unseen), "{quoted:?}");
        let output = Command::new("bash")
            .args(["-c", &format!("printf %s {quoted}")])
            .output()
            .expect("bash");
        assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{quoted}");
    }
}
