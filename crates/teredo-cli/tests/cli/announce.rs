//! `teredo announce`: what it refuses, before it changes anything.

use crate::program::run;

#[track_caller]
fn refused(arguments: &[&str], code: i32, said: &[&str]) {
    let words = [&["--config", "/dev/null", "announce"], arguments].concat();
    let ended = run(&words);
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words:?}");
    for part in said {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn a_node_without_an_address_is_none() {
    refused(&["relay"], 2, &["a relay needs its address", "--address A"]);
    refused(
        &["server"],
        2,
        &["a server needs its address", "--address A"],
    );
}

/// The node would not answer, and the reason would be hard to find.
#[test]
fn a_probe_that_the_node_refuses_is_refused() {
    let hint = "--from 198.18.0.1 uses it";
    refused(&["relay", "--address", "10.0.0.1"], 1, &["10.0.0.1", hint]);
    let pair = ["server", "--address", "192.0.2.45", "--from"];
    refused(&[&pair[..], &["10.0.0.1"]].concat(), 1, &["10.0.0.1", hint]);
    let own = "a server answers nothing from its own address 192.0.2.46";
    refused(&[&pair[..], &["192.0.2.46"]].concat(), 2, &[own]);
    let same = ["relay", "--address", "192.0.2.99", "--port", "3544"];
    refused(&same, 2, &["UDP port 3544", "--from A"]);
}

/// A mistyped network would be announced to others.
#[test]
fn a_network_is_not_guessed() {
    for wrong in ["2001::1/32", "192.0.2.99", "2001::/129"] {
        let words = ["relay", "--address", "192.0.2.99", "--route", wrong];
        refused(&words, 2, &[wrong, "expected a network such as 2001::/32"]);
    }
}
