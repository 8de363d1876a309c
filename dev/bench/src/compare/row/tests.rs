use super::Verdict::{Met, Missed, Unsure};
use super::*;

fn row(ours: &[f64], theirs: &[f64], target: Target) -> Row {
    Row::of_pairs("rate", "1/s", "miredo", ours, theirs, target).unwrap()
}

/// Each pair's ratio counts: a machine that slows down half-way slows both of a pair.
#[test]
fn ratios_are_those_of_pairs() {
    let row = row(&[30.0, 15.0, 3.0], &[10.0, 5.0, 1.0], Target::AtLeast(3.0));
    assert_eq!((row.ratio.median, row.verdict), (3.0, Some(Met)));
    assert_eq!((row.ours, row.theirs, row.pairs), (15.0, 5.0, 3));
}

#[test]
fn targets_have_two_sides() {
    assert_eq!(
        row(&[2.9], &[1.0], Target::AtLeast(3.0)).verdict,
        Some(Missed)
    );
    assert_eq!(row(&[2.9], &[1.0], Target::AtMost(3.0)).verdict, Some(Met));
    assert_eq!(
        row(&[3.1], &[1.0], Target::AtMost(3.0)).verdict,
        Some(Missed)
    );
    assert_eq!(row(&[3.1], &[1.0], Target::None).verdict, None);
    assert!(Row::of_pairs("x", "s", "y", &[], &[], Target::None).is_none());
}

fn filled() -> Table {
    let mut table = Table::default();
    table.begin("flow");
    table.push(row(&[5e9, 5e9], &[1e9, 1e9], Target::AtLeast(10.0)));
    table.begin("server");
    table.push(row(&[0.05], &[2.0], Target::AtMost(0.1)));
    table.push(row(&[1.0], &[2.0], Target::None));
    table.missing("latency".to_owned(), "no vxlan".to_owned());
    table.note("a note".to_owned());
    table
}

#[test]
fn the_table_names_what_was_missed_and_what_is_missing() {
    let text = filled().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[2],
        "rate [1/s]    5G  miredo      1G      5x  5..5   >= 10  MISSED"
    );
    assert_eq!(
        (lines[1], lines[3]),
        ("", ""),
        "the parts are apart: {text}"
    );
    assert_eq!(
        lines[4],
        "rate [1/s]  0.05  miredo       2  0.025x  once  <= 0.1  met"
    );
    assert_eq!(
        lines[6..],
        [
            "",
            "1 targets met, 1 missed, 0 unsure",
            "a note",
            "not measured: latency: no vxlan"
        ]
    );
}

/// A ratio within the target says nothing if the load beside it was not there.
#[test]
fn an_unsure_row_is_neither_met_nor_missed() {
    let mut table = Table::default();
    let unsure = row(&[1.0], &[10.0], Target::AtMost(0.3)).unsure();
    assert_eq!(unsure.verdict, Some(Unsure));
    table.push(unsure);
    table.unsure("p99 / miredo".to_owned(), "88 % arrived".to_owned());
    let text = table.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[2].ends_with("<= 0.3  unsure"), "{text}");
    assert_eq!(
        lines[4..],
        [
            "0 targets met, 0 missed, 1 unsure",
            "unsure: p99 / miredo: 88 % arrived"
        ]
    );
}

#[test]
fn the_same_for_documents() {
    let text = filled().markdown();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        "| --- | --: | --- | --: | --: | --: | --: | --- |"
    );
    assert_eq!(
        lines[2],
        "| rate [1/s] | 5G | miredo | 1G | 5x | 5..5 | >= 10 | MISSED |"
    );
    assert_eq!(lines[7], "- a note");
    assert!(
        lines[2..5]
            .iter()
            .all(|line| line.matches('|').count() == 9)
    );
}

#[test]
fn numbers_are_short() {
    let texts = [0.0, 0.004, 0.25, 1.5, 12.34, 9999.0, 12_345.0, 2.5e6, 3e9].map(short);
    let expected = [
        "0", "0.004", "0.25", "1.5", "12.3", "9999", "12.3k", "2.5M", "3G",
    ];
    assert_eq!(texts, expected);
}
