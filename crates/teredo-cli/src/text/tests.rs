use super::*;

#[test]
fn spans_have_two_units() {
    for (micros, text) in [
        (0, "0us"),
        (740, "740us"),
        (6_000, "6ms"),
        (999_999, "999ms"),
        (28_000_000, "28s"),
        (61_000_000, "1m 1s"),
        (7_980_000_000, "2h 13m"),
        (90_000_000_000, "1d 1h"),
    ] {
        assert_eq!(span(Duration::from_micros(micros)), text);
    }
}

#[test]
fn bytes_have_binary_prefixes() {
    for (count, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (13_002_342, "12.4 MiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(bytes(count), text);
    }
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    assert_eq!(plain("nft\x1b[2J\n\u{9b}1m é"), "nft?[2J??1m é");
    assert_eq!(plain("gpj\u{202e}.exe \u{2066}א"), "gpj?.exe ?א");
}
