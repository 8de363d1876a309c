use super::*;

/// Two builds of one commit have the same time in their packages.
#[test]
fn the_date_is_that_of_the_release() {
    let release = Release {
        version: "1.2.3",
        revision: 1,
        epoch: 1_700_000_000,
    };
    let date = release.date("-R").unwrap();
    assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 +0000");
}
