use super::*;
use crate::tree;

/// The page has paragraphs and code; a table would be printed as text.
#[test]
fn the_document_has_nothing_that_the_page_cannot_show() {
    let page = settings(&tree::read("docs/settings.md").unwrap()).unwrap();
    for mark in ["|", "#", "\\- ", "* "] {
        let line = page.lines().find(|line| line.starts_with(mark));
        assert_eq!(line, None, "begins with {mark:?}");
    }
}

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
