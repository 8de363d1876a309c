use super::*;

#[test]
fn code_stays_as_it_is_and_words_are_marked() {
    let page =
        settings("# Settings\n\nRead `--config`, **now**.\n\n```toml\n.x = \"\\\"\n```\n").unwrap();
    let body = page.strip_prefix(HEAD).unwrap().strip_suffix(TAIL).unwrap();
    assert_eq!(
        body,
        "Read \\fB\\-\\-config\\fR, \\fBnow\\fR.\n.PP\n.PP\n.EX\n\\&.x = \"\\e\"\n.EE\n"
    );
}
