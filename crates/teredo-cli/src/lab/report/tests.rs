use super::*;

fn said(path: Path, expected: Expectation, is_listed: bool, is_lost: bool) -> String {
    let styled = verdict(Found {
        path,
        expected,
        is_listed,
        is_lost,
    });
    anstream::adapter::strip_str(&styled).to_string()
}

/// The last lines name the page only for NATs that it has.
#[test]
fn the_matrix_is_named_for_its_own_nats() {
    let direct = Expectation::Sure(Path::Direct);
    assert_eq!(
        said(Path::Direct, direct, true, false),
        "alice and bob talk directly, as the matrix of NATs (docs/nat-matrix.md) has it"
    );
    assert_eq!(
        said(Path::Direct, direct, false, false),
        "alice and bob talk directly, as the rule behind the matrix of NATs has it"
    );
}

/// A path that a rebind has taken is no path.
#[test]
fn a_lost_path_is_not_praised() {
    for expected in [Expectation::Sure(Path::Direct), Expectation::Guess] {
        assert_eq!(
            said(Path::None, expected, true, true),
            "alice and bob talked directly, and have no path since the rebind"
        );
    }
}
