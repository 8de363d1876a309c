use super::*;

fn of<const N: usize>(counts: [(&str, u64); N]) -> Counts {
    let counts = counts.into_iter();
    counts
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

#[test]
fn more_than_the_tolerance_is_worse() {
    let kept = of([
        ("same", 1000),
        ("within", 1000),
        ("worse", 1000),
        ("better", 1000),
    ]);
    let counted = of([
        ("same", 1000),
        ("within", 1050),
        ("worse", 1051),
        ("better", 900),
    ]);
    let (table, worse) = compare(&counted, &kept);
    assert_eq!(worse, ["worse"]);
    let expected = "\
function  instructions      baseline    change
better             900          1000   -10.0 %  better
same              1000          1000    +0.0 %
within            1050          1000    +5.0 %
worse             1051          1000    +5.1 %  WORSE
";
    assert_eq!(table, expected);
}

#[test]
fn what_is_only_on_one_side_cannot_pass() {
    let (table, worse) = compare(&of([("new", 1)]), &of([("old", 2)]));
    assert_eq!(worse, ["new", "old"]);
    assert!(
        table.contains("NOT KEPT") && table.contains("NOT COUNTED"),
        "{table}"
    );
}

#[test]
fn summaries_are_read() {
    let line = |name, values| {
        format!(
            r#"{{"function_name":"{name}","profiles":[{{"data":{{"total":{{"metrics":{{"Ir":{{"values":{values}}}}}}}}}}}]}}"#
        )
    };
    let output = [
        line("first", r#"{"new":34103}"#),
        line("again", r#"{"both":[500,700]}"#),
    ]
    .join("\n");
    assert_eq!(counts(&output).unwrap(), of([("first", 341), ("again", 5)]));
    assert!(counts("").is_err());
    assert!(counts(&line("none", "{}")).is_err());
}

#[test]
fn the_version_is_the_locked_one() {
    let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n[[package]]\nname = \"gungraun\"\nversion = \"0.20.0\"\n";
    assert_eq!(locked(lock).unwrap(), "0.20.0");
    assert!(locked("version = 4").is_err());
}
