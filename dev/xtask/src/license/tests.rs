use super::*;

fn meets(expression: &str) -> Result<bool> {
    satisfied(
        expression,
        &[
            "MIT".to_owned(),
            "Apache-2.0".to_owned(),
            "Unicode-3.0".to_owned(),
        ],
    )
}

#[test]
fn one_side_of_an_or_is_enough() {
    assert!(meets("GPL-2.0-only OR MIT").unwrap());
    assert!(meets("MIT/GPL-3.0").unwrap());
    assert!(meets("MIT or GPL-3.0-only").unwrap());
    assert!(meets("MIT Or GPL-3.0-only").is_err());
    assert!(!meets("GPL-2.0-only OR GPL-3.0-only").unwrap());
}

#[test]
fn both_sides_of_an_and_are_needed() {
    assert!(meets("(MIT OR GPL-2.0-only) AND Unicode-3.0").unwrap());
    assert!(!meets("MIT AND GPL-2.0-only").unwrap());
}

#[test]
fn and_binds_stronger_than_or() {
    assert!(meets("MIT OR MIT AND GPL-2.0-only").unwrap());
    assert!(!meets("(MIT OR MIT) AND GPL-2.0-only").unwrap());
}

#[test]
fn an_exception_does_not_change_the_licence() {
    assert!(meets("Apache-2.0 WITH LLVM-exception").unwrap());
    assert!(!meets("GPL-2.0-only WITH Classpath-exception-2.0").unwrap());
}

#[test]
fn nonsense_is_an_error() {
    for nonsense in [
        "",
        "MIT OR",
        "(MIT",
        "MIT)",
        "MIT Apache-2.0",
        "OR MIT",
        "MIT WITH",
    ] {
        assert!(meets(nonsense).is_err(), "{nonsense:?}");
    }
}

#[test]
fn the_list_comes_from_deny_toml() {
    assert_eq!(
        allowed("[licenses]\nallow = [\"MIT\", \"ISC\"]\n").unwrap(),
        ["MIT", "ISC"]
    );
    assert!(allowed("[bans]\n").is_err());
}
