use super::*;

#[test]
fn edits_are_counted() {
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("abc", ""), 3);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("allow-private", "ALLOW_PRIVATE"), 0);
}

#[test]
fn the_nearest_word_wins_and_a_strange_one_finds_nothing() {
    let known = ["servers", "interface", "bind", "port"];
    assert_eq!(nearest("server", known), Some("servers"));
    assert_eq!(nearest("intreface", known), Some("interface"));
    assert_eq!(nearest("colour", known), None);
    assert_eq!(nearest("", known), None);
}
