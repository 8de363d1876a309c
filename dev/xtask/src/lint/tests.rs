use super::*;

#[test]
fn a_file_may_have_800_lines_and_no_more() {
    let path = Path::new("crates/teredo/src/wire.rs");
    assert!(source(path, &"\n".repeat(LONGEST)).is_empty());
    assert_eq!(source(path, &"\n".repeat(LONGEST + 1)).len(), 1);
}

#[test]
fn a_crate_forbids_unsafe_code_unless_it_is_listed() {
    assert_eq!(source(Path::new("crates/teredo/src/lib.rs"), "").len(), 1);
    assert!(
        source(
            Path::new("crates/teredo/src/lib.rs"),
            "#![forbid(unsafe_code)]"
        )
        .is_empty()
    );
    assert!(source(Path::new("crates/teredo/src/server.rs"), "").is_empty());
    assert!(source(Path::new("crates/teredo-tunnel/src/lib.rs"), "").is_empty());
}

#[test]
fn unsafe_code_is_found_in_tests_and_macros_and_not_in_words() {
    let found = |path, text| source(Path::new(path), text);
    let code = "macro_rules! m { () => { unsafe { f() } } }";
    assert_eq!(
        found("crates/teredo/tests/a.rs", code),
        [format!("unsafe code outside of {}", UNSAFE.join(", "))]
    );
    assert_eq!(found("crates/netioapi/core/src/a.rs", code), [""; 0]);
    let words = "// unsafe\nconst A: &str = \"unsafe\"; #[allow(unsafe_code)] fn f() {}";
    assert_eq!(found("crates/teredo/src/a.rs", words), [""; 0]);
}

#[test]
fn a_test_may_not_be_ignored() {
    let found = source(
        Path::new("crates/teredo/tests/client.rs"),
        "#[test]\n    #[ignore = \"slow\"]\nfn f() {}",
    );
    assert_eq!(found, ["line 2: an ignored test"]);
}

#[test]
fn a_sentence_names_its_subject() {
    let word = HARD[0];
    let found = source(
        Path::new("crates/teredo/src/a.rs"),
        &format!("// {word}asks waits."),
    );
    assert_eq!(
        found,
        [format!(
            "line 1: \"{}\": say who or what it is",
            word.trim()
        )]
    );
}

#[test]
fn a_doc_comment_names_the_thing() {
    let found = |text| source(Path::new("crates/teredo/src/wire.rs"), text);
    let breach = |number| {
        format!(
            "line {number}: a doc comment begins with \"What\": name the thing, or say what it does"
        )
    };
    assert_eq!(
        found("//! What is here.\n\n    /// What a name is.\n    ///\n    /// More.\n"),
        [breach(1), breach(3)]
    );
    assert_eq!(found("#[test]\n/// What holds.\nfn f() {}"), [breach(2)]);
    // In the command line's help.
    assert_eq!(found("/// What to do with IPv6"), [""; 0]);
    // A later line, another word, and comments that are not documentation.
    assert_eq!(found("/// It shows\n/// What is new."), [""; 0]);
    assert_eq!(found("/// Whatever comes."), [""; 0]);
    assert_eq!(found("// What is lost.\n//// What is drawn."), [""; 0]);
}

#[test]
fn a_name_must_say_what_is_inside() {
    assert!(nameless(Path::new("crates/teredo/src/utils.rs")).is_some());
    assert!(
        nameless(
            Path::new("crates/teredo/tests/common/mod.rs")
                .parent()
                .unwrap()
        )
        .is_some()
    );
    assert!(nameless(Path::new("crates/teredo/src/commons.rs")).is_none());
}

#[test]
fn a_module_is_beside_its_folder() {
    let breach = |path| mod_rs(Path::new(path));
    assert_eq!(
        breach("crates/teredo/src/wire/mod.rs").unwrap(),
        "crates/teredo/src/wire/mod.rs: move it to crates/teredo/src/wire.rs"
    );
    assert!(breach("crates/teredo/src/relay/tests/mod.rs").is_some());
    assert!(breach("crates/teredo/src/relay/tests/peers/mod.rs").is_some());
    assert!(breach("crates/teredo-notify/tests/support/mod.rs").is_none());
    assert!(breach("crates/teredo/src/wire.rs").is_none());
}
