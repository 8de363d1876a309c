use super::*;

const LIST: &str =
    "# comment\n\nN-01 | all | doc | one at a time\nN-02 | all | doc | initial first\n";

fn names(ids: &[&str]) -> Names {
    ids.iter()
        .map(|&id| {
            (
                id.to_owned(),
                BTreeSet::from(["crates/x/tests/y.rs".to_owned()]),
            )
        })
        .collect()
}

#[test]
fn ids_are_found_in_prose_and_nothing_else_is() {
    let text = "/// N-01, N-14 (R4380-5.3.1-03): see R-OLD-01/R4380-GU-02.\n// RFC 4380, F-1; L-03 and UTF-8, X-1, 2026-11-22, N-123, R4380-5";
    assert_eq!(
        ids(text).collect::<Vec<_>>(),
        [
            "N-01",
            "N-14",
            "R4380-5.3.1-03",
            "R-OLD-01",
            "R4380-GU-02",
            "F-1",
            "L-03"
        ]
    );
}

#[test]
fn tests_are_known_by_their_path() {
    for path in [
        "crates/teredo/src/client/tests.rs",
        "crates/teredo/src/client/tests/send.rs",
        "crates/teredo-cli/tests/e2e.rs",
    ] {
        assert!(is_test(Path::new(path)), "{path}");
    }
    assert!(!is_test(Path::new("crates/teredo/src/client/send.rs")));
}

fn missing(table: &Table<'_>) -> usize {
    table.count(|shown| matches!(shown, ShownBy::Nothing(_)))
}

#[test]
fn a_requirement_needs_a_test_or_an_exception() {
    let named = names(&["N-01"]);
    let table = Table::new(LIST, "", &named).unwrap();
    assert_eq!(missing(&table), 1);
    assert_eq!(table.rows[1].shown_by.to_string(), "no test: initial first");
    let table = Table::new(LIST, "N-02 | needs a second kernel", &named).unwrap();
    assert_eq!(missing(&table), 0);
}

#[test]
fn an_exception_that_is_needed_no_more_is_stale() {
    let named = names(&["N-01", "N-02"]);
    let table = Table::new(LIST, "N-02 | later\nN-99 | never was", &named).unwrap();
    assert_eq!(
        table.stale,
        [
            "N-02 has a test by now",
            "N-99 is not in docs/requirements.txt"
        ]
    );
}

#[test]
fn a_broken_list_is_an_error() {
    let none = Names::new();
    assert!(Table::new("N-01 | all | doc", "", &none).is_err());
    assert!(Table::new("N-01 | all | doc | a\nN-01 | all | doc | b", "", &none).is_err());
    assert!(Table::new("hello | all | doc | a", "", &none).is_err());
}
