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

#[test]
fn a_requirement_without_test_or_exception_is_a_fault() {
    let named = names(&["N-01"]);
    assert_eq!(
        Table::new(LIST, "", &named).unwrap().faults,
        ["no test names N-02"]
    );
    assert!(
        Table::new(LIST, "N-02 | needs a second kernel", &named)
            .unwrap()
            .faults
            .is_empty()
    );
}

#[test]
fn a_stale_exception_is_a_fault() {
    let named = names(&["N-01", "N-02"]);
    let table = Table::new(LIST, "N-02 | later\nN-99 | never was", &named).unwrap();
    assert_eq!(table.faults.len(), 2, "{:?}", table.faults);
}

#[test]
fn a_broken_list_is_an_error() {
    let none = Names::new();
    assert!(Table::new("N-01 | all | doc", "", &none).is_err());
    assert!(Table::new("N-01 | all | doc | a\nN-01 | all | doc | b", "", &none).is_err());
    assert!(Table::new("hello | all | doc | a", "", &none).is_err());
}
