use super::list::{Reason, Strength};
use super::source::Kind;
use super::table::Standing;
use super::*;

const LIST: &str = r#"
[[section]]
title = "Bubbles"
source = "RFC 4380 §5.2.6"
requirements = [
    ["R4380-5.2.6-01", "client", "must", "a direct bubble goes to the mapping"],
    ["R4380-5.2.6-04", "client, relay", "MUST NOT", "no bubble within 2 s"],
    ["A-06", "client", "reading", "two bubbles are one event"],
]

[[section]]
title = "Port changes"
source = "Contract of the notifications"
requirements = [["N-01", "notifications", "doc", "one at a time"]]
"#;

const CODE: &str = r#"
//! R4380-5.2.6-01 is a word of the module.

/// A peer (N-01).
struct Peer {
    /// R4380-5.2.6-04
    last: u32,
}

impl Peer {
    // R4380-5.2.6-01: above the method.
    fn ask(&self) {
        // A-06
        let text = "N-01 is no comment";
    }
}

#[cfg(test)]
mod tests;
"#;

const TESTS: &str = r#"
/// N-01: called by tests.
fn exchange() {}

/// R4380-5.2.6-01, R4380-5.2.6-04
#[test]
fn asks() {
    assert!(true, "A-06");
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    /// N-01
    #[test]
    fn whatever_comes(bytes in any::<u8>()) {
        exchange();
    }
}
"#;

fn sources(files: &[(&str, &str)]) -> Found {
    read(files).unwrap()
}

/// `id kind item`, in the order of the IDs.
fn summary(found: &Found, file: &str) -> Vec<String> {
    let of_file = found.mentions.iter().filter(|mention| mention.file == file);
    of_file
        .map(|mention| {
            let item = mention.item.as_deref().unwrap_or("-");
            format!("{} {:?} {item}", mention.id, mention.kind)
        })
        .collect()
}

#[test]
fn ids_are_found_in_prose_and_nothing_else_is() {
    let text = "/// N-01, N-14 (R4380-5.3.1-03): see R-OLD-01/R4380-GU-02.\n// RFC 4380, F-1; L-03, A-06 and UTF-8, X-1, 2026-11-22, N-123, R4380-5";
    assert_eq!(
        list::ids(text).collect::<Vec<_>>(),
        [
            "N-01",
            "N-14",
            "R4380-5.3.1-03",
            "R-OLD-01",
            "R4380-GU-02",
            "F-1",
            "L-03",
            "A-06"
        ]
    );
}

#[test]
fn an_id_belongs_to_the_item_that_its_comment_is_in_or_above() {
    let found = sources(&[("crates/x/src/peer.rs", CODE)]);
    assert_eq!(
        summary(&found, "crates/x/src/peer.rs"),
        [
            "A-06 Code Peer::ask",
            "N-01 Code Peer",
            "N-01 Other Peer::ask",
            "R4380-5.2.6-01 Code -",
            "R4380-5.2.6-01 Code Peer::ask",
            "R4380-5.2.6-04 Code Peer::last",
        ]
    );
}

#[test]
fn a_test_is_what_has_the_attribute() {
    let expected = [
        "A-06 Test asks",
        "N-01 Test whatever_comes",
        "N-01 Other exchange",
        "R4380-5.2.6-01 Test asks",
        "R4380-5.2.6-04 Test asks",
    ];
    // A module for tests because another file says so; a crate's own folder of tests.
    for file in ["crates/x/src/peer/tests.rs", "crates/x/tests/peer.rs"] {
        let found = sources(&[("crates/x/src/peer.rs", CODE), (file, TESTS)]);
        assert_eq!(summary(&found, file), expected, "{file}");
    }
}

#[test]
fn what_is_around_the_code_neither_implements_nor_tests() {
    for file in [
        "dev/sim/src/peer.rs",
        "crates/teredo-cli/src/lab/peer.rs",
        "dev/fuzz/peer.rs",
    ] {
        let found = sources(&[(file, "/// N-01\n#[test]\nfn a() {}\n// N-01\nfn b() {}")]);
        assert!(
            found
                .mentions
                .iter()
                .all(|mention| mention.kind == Kind::Other)
        );
    }
}

#[test]
fn a_program_in_c_is_a_test() {
    let found = sources(&[("crates/x/tests/c/ports.c", "/* N-01 */ int main(void);")]);
    assert_eq!(summary(&found, "crates/x/tests/c/ports.c"), ["N-01 Test -"]);
}

#[test]
fn each_requirement_is_met_and_shown_or_excused() {
    let found = sources(&[
        ("crates/x/src/peer.rs", CODE),
        ("crates/x/tests/peer.rs", TESTS),
    ]);
    let list = List::parse(LIST).unwrap();
    let table = Table::new(&list, &found.mentions);
    assert_eq!(table.faults(&list, &found), Vec::<String>::new());
    assert_eq!(table.tally(), "3 requirements: 3 met and shown by a test");

    let no_tests = sources(&[("crates/x/src/peer.rs", CODE)]);
    let table = Table::new(&list, &no_tests.mentions);
    let faults = table.faults(&list, &no_tests);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(
        faults[0],
        "R4380-5.2.6-01: neither a test nor a reason: a direct bubble goes to the mapping"
    );

    let no_code = sources(&[("crates/x/tests/peer.rs", TESTS)]);
    let table = Table::new(&list, &no_code.mentions);
    let faults = table.faults(&list, &no_code);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(
        faults[2],
        "N-01: no code says that it does it, and there is no reason: one at a time"
    );
}

#[test]
fn a_reason_excuses_until_there_is_a_test() {
    let text = format!(
        "{LIST}\n[reasons]\nN-01 = \"silent\"\n[not_yet]\n\"the relay\" = [\"R4380-5.2.6-04\"]"
    );
    let list = List::parse(&text).unwrap();
    assert_eq!(list.reason("N-01"), Some(Reason::Given("silent")));
    assert_eq!(
        list.reason("R4380-5.2.6-04"),
        Some(Reason::NotYet("the relay"))
    );

    let code = sources(&[("crates/x/src/peer.rs", CODE)]);
    let table = Table::new(&list, &code.mentions);
    assert_eq!(table.rows["N-01"].standing(), Standing::Untested);
    assert_eq!(table.rows["R4380-5.2.6-04"].standing(), Standing::NotYet);
    assert_eq!(table.faults(&list, &code).len(), 1);

    let tested = sources(&[
        ("crates/x/src/peer.rs", CODE),
        ("crates/x/tests/peer.rs", TESTS),
    ]);
    let table = Table::new(&list, &tested.mentions);
    assert_eq!(
        table.faults(&list, &tested),
        [
            "R4380-5.2.6-04: there is a reason why no test shows it, and asks in crates/x/tests/peer.rs does",
            "N-01: there is a reason why no test shows it, and whatever_comes in crates/x/tests/peer.rs does",
        ]
    );
}

#[test]
fn an_id_that_is_not_listed_is_a_fault_wherever_it_stands() {
    let list = List::parse(LIST).unwrap();
    for file in [
        "crates/x/src/lib.rs",
        "crates/x/tests/x.rs",
        "dev/fuzz/x.rs",
    ] {
        let found = sources(&[(file, "/// N-99\nfn a() {}")]);
        let faults = Table::new(&list, &found.mentions).faults(&list, &found);
        assert_eq!(faults[0], format!("{file}: N-99 is not listed"));
    }
}

#[test]
fn a_broken_list_is_an_error() {
    let with = |more: &str| List::parse(&format!("{LIST}\n{more}"));
    let section = |row: &str| {
        with(&format!(
            "[[section]]\ntitle = \"a\"\nsource = \"b\"\nrequirements = [{row}]"
        ))
    };
    assert!(section("[\"N-02\", \"all\", \"doc\", \"a\"]").is_ok());
    assert!(section("[\"N-01\", \"all\", \"doc\", \"twice\"]").is_err());
    assert!(section("[\"hello\", \"all\", \"doc\", \"no ID\"]").is_err());
    assert!(section("[\"N-02\", \"all\", \"perhaps\", \"no level\"]").is_err());
    assert!(section("[\"N-02\", \"all\", \"doc\"]").is_err());
    assert!(with("[reasons]\nN-99 = \"not listed\"").is_err());
    assert!(with("[reasons]\nN-01 = \"a\"\n[not_yet]\nb = [\"N-01\"]").is_err());
}

#[test]
fn levels_are_told_by_their_strength() {
    let list = List::parse(LIST).unwrap();
    let strengths: Vec<Strength> = list
        .requirements()
        .map(|requirement| requirement.level().strength)
        .collect();
    assert_eq!(
        strengths,
        [
            Strength::Must,
            Strength::Must,
            Strength::Note,
            Strength::Contract
        ]
    );
    assert_eq!(list.roles(), ["client", "relay", "notifications"]);
}

#[test]
fn a_departure_is_a_paragraph_and_leads_to_its_requirements() {
    let source = "\
        /// Marked `DEVIATION(` in the code.\n\
        ///\n\
        /// DEVIATION(rfc4380 §5.2.6): bubbles keep 2 s\n\
        /// from the last bubble (R4380-5.2.6-04, A-06).\n\
        ///\n\
        /// More.\n\
        fn a() {\n\
            // DEVIATION(rfc4380 §5.2.10): first.\n\
            // DEVIATION(rfc4380 §5.2.9): second (RFC 4787), in one comment.\n\
            let b = 1; // no comment\n\
        }";
    let found = sources(&[("crates/x/src/lib.rs", source)]);
    let departures: Vec<_> = found
        .departures
        .iter()
        .map(|departure| (departure.place.as_str(), departure.text.as_str()))
        .collect();
    assert_eq!(
        departures,
        [
            ("RFC 4380 §5.2.6", "Bubbles keep 2 s from the last bubble."),
            ("RFC 4380 §5.2.9", "Second (RFC 4787), in one comment."),
            ("RFC 4380 §5.2.10", "First."),
        ]
    );
    assert_eq!(found.departures[0].ids, ["R4380-5.2.6-04", "A-06"]);

    let broken = sources(&[("crates/x/src/lib.rs", "// DEVIATION(section 5): why")]);
    let list = List::parse(LIST).unwrap();
    let faults = Table::new(&list, &broken.mentions).faults(&list, &broken);
    assert!(faults[0].starts_with("crates/x/src/lib.rs: `DEVIATION(section 5): why` is not"));
}

#[test]
fn the_page_has_a_row_for_each_requirement() {
    let departing = "// DEVIATION(rfc4380 §5.2.6): none | at all (R4380-5.2.6-04).\nfn a() {}";
    let found = sources(&[
        ("crates/x/src/peer.rs", CODE),
        ("crates/x/src/other.rs", departing),
        ("crates/x/tests/peer.rs", TESTS),
    ]);
    let text = format!("{LIST}\n[reasons]\nN-01 = \"silent | still\"");
    let list = List::parse(&text).unwrap();
    let table = Table::new(&list, &found.mentions);
    let page = page::render(&list, &table, &found.departures);
    for line in [
        "| client | 2 of 2 | | | | | |",
        "| relay | 1 of 1 | | | | | |",
        "| **together** | 2 of 2 | | | | 0 of 1 | |",
        "## RFC 4380",
        "### Bubbles",
        "| R4380-5.2.6-01 | must | client | a direct bubble goes to the mapping \
         | [x/peer.rs](../crates/x/src/peer.rs) `Peer::ask` | [x/tests/peer.rs](../crates/x/tests/peer.rs) `asks` |",
        "| R4380-5.2.6-04 | MUST NOT | client, relay | no bubble within 2 s ([departure](#departures-from-the-rfcs)) \
         | [x/other.rs](../crates/x/src/other.rs) `a`<br>[x/peer.rs](../crates/x/src/peer.rs) `Peer::last` \
         | [x/tests/peer.rs](../crates/x/tests/peer.rs) `asks` |",
        "| N-01 | doc | notifications | one at a time | [x/peer.rs](../crates/x/src/peer.rs) `Peer` | *silent \\| still* |",
        "| RFC 4380 §5.2.6 | None \\| at all. | [x/other.rs](../crates/x/src/other.rs) |",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line}\nis not in\n{page}"
        );
    }
}
