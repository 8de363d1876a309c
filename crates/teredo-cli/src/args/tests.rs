use clap::CommandFactory as _;

use super::*;
use crate::failure::{Exit, Failure};
use crate::usage_failure;

fn refused(line: &str) -> (Failure, String) {
    let error = Cli::try_parse_from(line.split(' ')).expect_err("must be refused");
    let failure = usage_failure(&error, line.split(' ').skip(1).map(Into::into));
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    (failure, String::from_utf8(bytes).expect("text"))
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_there_is_none() {
    assert!(
        Cli::try_parse_from(["teredo"])
            .expect("fine")
            .command
            .is_none()
    );
}

#[test]
fn wrong_command_lines_get_one_line_and_a_hint() {
    for (line, said) in [
        (
            "teredo status --jsno",
            "teredo: unexpected argument '--jsno' found\nhint: did you mean '--json'?\n",
        ),
        (
            "teredo stauts",
            "teredo: unrecognized subcommand 'stauts'\nhint: did you mean 'status'?\n",
        ),
        (
            "teredo stat",
            "teredo: unrecognized subcommand 'stat'\nhint: did you mean 'status'?\n",
        ),
        (
            "teredo port --frobnicate",
            "teredo: unexpected argument '--frobnicate' found\nhint: see 'teredo port --help'\n",
        ),
        (
            "teredo address",
            "teredo: a command is missing\nhint: see 'teredo address --help'\n",
        ),
        (
            "teredo rebind --port 0",
            "teredo: invalid value '0' for '--port <N>': expected a number from 1 to 65535\nhint: see 'teredo rebind --help'\n",
        ),
        (
            "teredo address encode --server 192.0.2.1",
            "teredo: the following required arguments were not provided: --mapped <A:P>\nhint: see 'teredo address encode --help'\n",
        ),
    ] {
        let (failure, text) = refused(line);
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(text, said, "{line}");
    }
}

#[test]
fn wrong_values_are_refused_with_the_reason() {
    for (line, reason) in [
        ("teredo rebind --port 0", "--port <N>"),
        ("teredo rebind --port 65536", "from 1 to 65535"),
        ("teredo client --server 192.0.2.1:3544", "without a port"),
        ("teredo client --server h --interface a/b", "interface name"),
        ("teredo client --server h --bind ::1", "IPv4"),
        ("teredo port --wait --timeout -1", "unexpected"),
        (
            "teredo port --wait --timeout soon",
            "'--timeout <S>': expected seconds",
        ),
        ("teredo monitor --events port,colour", "colour"),
        ("teredo monitor --count 0", "--count <N>"),
        ("teredo address decode 192.0.2.1", "IPv6"),
        (
            "teredo rebind --port 0",
            "teredo: invalid value '0' for '--port <N>': expected a number from 1 to 65535\nhint: see 'teredo rebind --help'\n",
        ),
        (
            "teredo address encode --server 192.0.2.1 --mapped 192.0.2.2:1 --flags +1",
            "hexadecimal",
        ),
        ("teredo lab --shell --json", "cannot be used with"),
        (
            "teredo lab --nat port-restrictd",
            "did you mean 'port-restricted'?",
        ),
        (
            "teredo lab --peer-nat random-port",
            "did you mean 'random-ports'?",
        ),
        (
            "teredo lab --nat random-ports,hairpining",
            "did you mean 'random-ports,hairpinning'?",
        ),
        (
            "teredo lab --nat endpoint-independent-mapping,address-dependent-mapping",
            "exclude each other",
        ),
        ("teredo lab --nat cone,random-ports", "stands alone"),
        ("teredo lab --nat full-cone", "did you mean 'cone'?"),
        ("teredo lab --nat CGN", "did you mean 'carrier'?"),
        (
            "teredo lab --nat random-ports,random-ports",
            "random-ports is named twice",
        ),
        (
            "teredo lab --diagram a.png",
            "the picture is SVG: name it a.svg",
        ),
        ("teredo lab --nat random-ports,", "before or behind a comma"),
        ("teredo firewall --allow-inbound 22", "--allow-inbound"),
        ("teredo firewall --set x", "--set"),
        ("teredo client --server h --interface t%d", "percent sign"),
        ("teredo firewall --metrics 255.255.255.255:9", "no host's"),
        ("teredo firewall --metrics 224.0.0.1:9", "no host's"),
        ("teredo firewall --metrics [ff02::1]:9", "no host's"),
        ("teredo firewall --metrics [fe80::1]:99", "[fe80::1%2]:99"),
        ("teredo hooks --timeout 0", "0.1 seconds"),
        ("teredo monitor --exec x --exec-timeout 0", "0.1 seconds"),
    ] {
        let (failure, text) = refused(line);
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(text.contains(reason), "{line}: {text}");
        assert_eq!(text.lines().count(), 2, "{line}: {text}");
    }
}

#[test]
fn durations_are_seconds_or_have_units() {
    assert_eq!(value::duration("30"), Ok(Duration::from_secs(30)));
    assert_eq!(value::duration("0.25"), Ok(Duration::from_millis(250)));
    assert_eq!(value::duration("1m 30s"), Ok(Duration::from_secs(90)));
    for wrong in ["", "-1", "NaN", "inf", "1e300", "8days"] {
        assert!(value::duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn flags_are_hexadecimal() {
    assert_eq!(value::flags("8000"), Ok(0x8000));
    assert_eq!(value::flags("0x3cFF"), Ok(0x3cff));
    assert!(
        value::flags("10000").is_err() && value::flags("").is_err() && value::flags("0x").is_err()
    );
}

/// The help of the lab has each property, and a wrong kind does not list them.
#[test]
fn the_properties_of_nats_are_in_the_help() {
    let command = Cli::command();
    let lab = command.find_subcommand("lab").unwrap();
    let notes = lab.get_after_help().unwrap().to_string();
    for property in HomeNat::properties() {
        let words = notes.split(|c: char| c.is_whitespace() || c == ',');
        assert!(
            words.into_iter().any(|word| word == property),
            "{property}: {notes}"
        );
    }
    let (_, wrong) = refused("teredo lab --nat simmetric");
    assert!(!wrong.contains("hairpinning"), "{wrong}");
}
