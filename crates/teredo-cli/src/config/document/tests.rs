use super::*;

/// Line and message of each mistake, in order.
fn mistakes(text: &str) -> Vec<(usize, String)> {
    let document = Document::parse(Path::new("f"), text.as_bytes());
    let mut mistakes: Vec<_> = document
        .mistakes
        .iter()
        .map(|mistake| {
            let (_, line) = mistake.position();
            let said = mistake.to_string();
            let start = format!("f:{line}: ");
            let message = said.strip_prefix(&start).expect("the place comes first");
            (line, message.to_owned())
        })
        .collect();
    mistakes.sort();
    mistakes
}

fn assert_mistakes(text: &str, expected: &[(usize, &str)]) {
    let found = mistakes(text);
    let is_expected = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|((line, said), (at, part))| line == at && said.contains(part));
    assert!(is_expected, "{text}\n{found:#?}");
}

#[test]
fn no_mistake_hides_another() {
    assert_mistakes(
        "[client]\nport = 0\nprot = 1\nbind = 5\n[sever]\nx = 1\n[server]\nrelay_rate = -1\n[relay]\nserve = ['x', '2001:db8::/32', 'y']\n",
        &[
            (2, "client.port: 0 is not a port"),
            (3, "unknown key 'prot'"),
            (4, "client.bind: invalid type"),
            (5, "unknown key 'sever'"),
            (8, "server.relay_rate: expected packets per second"),
            (10, "relay.serve: 'x'"),
            (10, "relay.serve: 'y'"),
        ],
    );
}

/// The parser has several complaints about such a line; the first is enough, beside the key that it makes of it.
#[test]
fn a_line_has_one_mistake_of_syntax() {
    assert_mistakes("= =\n", &[(1, "unknown key ''"), (1, "unquoted keys")]);
}

#[test]
fn each_element_is_judged_at_its_line() {
    assert_mistakes(
        "[client]\nservers = [\n  'a',\n  'b c',\n  'd:1',\n]\ndeny = [1, '192.0.2.0/33']\n",
        &[
            (4, "'b c': a server is"),
            (5, "'d:1': a server is"),
            (7, "'192.0.2.0/33': expected an IPv4 network"),
            (7, "invalid type: integer"),
        ],
    );
    assert_mistakes(
        "[server]\npairs = [{ address = 'x', secondry = '192.0.2.1' }, { secondary = '192.0.2.2' }, {}]\n",
        &[
            (2, "IPv4"),
            (2, "missing field `address`"),
            (2, "missing field `address`"),
            (2, "unknown key 'secondry'"),
        ],
    );
}

/// A value of the wrong kind is one mistake, however many parts it has.
#[test]
fn a_value_of_another_kind_is_one_mistake() {
    let wrong_kind = [(2, "client.port: invalid type")];
    assert_mistakes("[client]\nport = [1, 2]\n", &wrong_kind);
    assert_mistakes("[client]\nport = { a = 1, b = 2 }\n", &wrong_kind);
    let no_section = [(1, "'client' is a section")];
    assert_mistakes("[[client]]\nport = 1\nx = 2\n", &no_section);
    assert_mistakes("client = 1\n", &no_section);
    let unknown = [(1, "unknown key 'clinet'")];
    assert_mistakes("[clinet]\nport = 1\nx = 2\n", &unknown);
}

#[test]
fn a_fault_of_syntax_hides_nothing_after_it() {
    assert_mistakes(
        "[client]\nport\nport = \nbind = 192.0.2.1\ninterface = teredo\nport = 1\nprot = 1\n[server]\n[server]\nworkers = 0\n",
        &[
            (2, "key with no value"),
            (3, "string values must be quoted"),
            (4, "text needs quotes"),
            (5, "text needs quotes"),
            (6, "duplicate key 'port'"),
            (7, "unknown key 'prot'"),
            (9, "duplicate key 'server'"),
            (10, "server.workers"),
        ],
    );
}

/// The text behind an open bracket cannot be told apart, so it is one fault.
#[test]
fn an_open_bracket_is_one_fault() {
    assert_mistakes(
        "[client]\nservers = ['a',\nport = 3\n[server]\nx = 1\n",
        &[(3, "must be quoted")],
    );
    assert_mistakes(
        "[client]\ninterface = '''a\n[server]\nx = 1\n",
        &[(5, "invalid")],
    );
}

#[test]
fn a_key_of_another_section_is_named_with_its_section() {
    let text = b"port = 1\n[client]\nallow_plain = true\n";
    let document = Document::parse(Path::new("f"), text);
    let elsewhere: Vec<_> = document
        .mistakes
        .iter()
        .map(|mistake| match mistake {
            Mistake::UnknownKey { elsewhere, .. } => elsewhere.join(" "),
            other => panic!("{other}"),
        })
        .collect();
    let expected = ["client relay", "server"];
    assert!(
        expected
            .iter()
            .all(|name| elsewhere.iter().any(|found| found == name)),
        "{elsewhere:?}"
    );
}

#[test]
fn odd_bytes_do_no_harm() {
    for text in [
        "'' = 1",
        "\"a`, expected `b\" = 1",
        "[client]\n\"\\u001b[31m\" = 1",
        "[client]\noffload = \"\\u001b[31m\"",
        "[client]\nport = 99999999999999999999",
        "[client]\nlease = 2020-13-45",
        "é\nü = \n",
        "=",
        "[",
        "[[",
        "a.b.c = {",
    ] {
        let found = mistakes(text);
        assert!(!found.is_empty(), "{text:?}");
        for (_, said) in found {
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
    let deep = format!("[client]\nservers = {}", "[".repeat(10_000));
    assert!(!mistakes(&deep).is_empty());
    assert_eq!(mistakes("\u{feff}[client]\r\nport = 1\r\n"), []);
}

#[test]
fn the_sections_and_their_keys_are_known() {
    assert_eq!(sections(), ["client", "server", "relay", "firewall"]);
    assert_eq!(keys("firewall").len(), 8);
    assert_eq!(keys("firewall")[0], "set");
}
