use super::*;

/// Every name in a text.
fn names(text: &str) -> Vec<&str> {
    let names = text.split("addr-").skip(1);
    names.map(|rest| &rest[..8]).collect()
}

#[test]
fn no_address_is_left() {
    let redaction = Redaction::default();
    for (text, around) in [
        ("192.0.2.1", "*"),
        ("from 192.0.2.1:3544: refused", "from *:3544: refused"),
        ("no answer from 192.0.2.1.", "no answer from *."),
        ("192.0.2.1,192.0.2.1", "*,*"),
        ("[2001:db8::1]:80 is away", "[*]:80 is away"),
        ("to=2001:0:c000:201:20f8:66a2:39cc:9bfe", "to=*"),
        ("::ffff:192.0.2.1 (mapped)", "* (mapped)"),
        ("denied: 198.51.100.0/24", "denied: */24"),
        ("fe80::1%eth0", "*%eth0"),
        ("Some(192.0.2.1:40000)", "Some(*:40000)"),
        ("2001:db8::1: unreachable", "*: unreachable"),
        ("\"192.0.2.1\"", "\"*\""),
    ] {
        let mut written = redaction.apply(text);
        assert!(!written.contains("192.0.2"), "{written}");
        for name in names(&written.clone()) {
            written = written.replace(&format!("addr-{name}"), "*");
        }
        assert_eq!(written, around, "{text}");
    }
}

#[test]
fn other_text_stays_as_it_is() {
    let redaction = Redaction::default();
    for text in [
        "",
        "port in use port=40001",
        "2026-11-22T13:05:07.123456Z",
        "version 0.2.0, 12.5 %",
        "aa:bb:cc:dd:ee:ff",
        "teredo::client at dead:beef",
        "face::cafes and v2001::",
        "listening on 127.0.0.1:9100, ::1, 0.0.0.0 and 224.0.0.253:3544",
        "é192.: ::: ....",
    ] {
        assert_eq!(redaction.apply(text), text);
    }
}

#[test]
fn one_address_has_one_name_and_another_run_another() {
    let (run, other) = (Redaction::default(), Redaction::default());
    let text = run.apply("192.0.2.1 talks to 192.0.2.2, says 192.0.2.1:5");
    let [a, b, c] = names(&text)[..] else {
        panic!("{text}")
    };
    assert!(a == c && a != b, "{text}");
    assert_ne!(run.apply("192.0.2.1"), other.apply("192.0.2.1"));
}
