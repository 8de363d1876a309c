use super::*;

const SOURCE: &str = "\
/// N-02: of the one above.
#[test]
fn other() {}

/// N-01, of course.
/// And more.
#[test]
fn right() {}

#[test]
fn silent() {}
";

fn breaches(row: &str) -> Vec<String> {
    let read = |path: &Path| match path.to_str().unwrap() {
        "a.rs" => Ok(SOURCE.to_owned()),
        "crates/netioapi/core/tests/c/a.c" => Ok("/* N-01 */".to_owned()),
        other => anyhow::bail!("there is no {other}"),
    };
    Row::parse(row).unwrap().breaches(read).unwrap()
}

#[test]
fn a_row_that_is_true() {
    assert_eq!(
        breaches("| N-01 | doc | x | `a.rs::right` | `a.c` |"),
        [""; 0]
    );
    assert_eq!(
        breaches("| N-01 | doc | x | `a.rs::right` | none: why |"),
        [""; 0]
    );
}

#[test]
fn rows_that_are_not() {
    for row in [
        "| N-01 | doc | x | | `a.c` |",
        "| N-01 | doc | x | `a.rs::other` | `a.c` |",
        "| N-01 | doc | x | `a.rs::silent` | `a.c` |",
        "| N-01 | doc | x | `a.rs::gone` | `a.c` |",
        "| N-02 | doc | x | `a.rs::other` | `a.c` |",
        "| N-01 | doc | x | `a.rs::right` | |",
    ] {
        assert_eq!(breaches(row).len(), 1, "{row}");
    }
}

#[test]
fn other_lines_are_no_rows() {
    assert!(Row::parse("| rule | | what | in Rust | in C |").is_none());
    assert!(Row::parse("N-01").is_none());
}

#[test]
fn ids_are_found_in_the_list() {
    let list = "[[group]]\n    [\"N-01\", \"all\"],\n    [\"R4380-1-01\", \"all\"],\n";
    assert_eq!(rule_ids(list).collect::<Vec<_>>(), ["N-01"]);
}
