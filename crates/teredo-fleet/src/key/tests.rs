use super::*;

#[test]
fn a_key_is_one_token_of_a_subject() {
    for key in ["a", "web-1", "WEB_1", &"k".repeat(MAX_KEY)] {
        assert_eq!(key.parse::<HostKey>().unwrap().as_str(), key);
    }
    for other in [
        "",
        "a.b",
        "*",
        ">",
        "a b",
        "a\n",
        "ä",
        "a/b",
        "$KV",
        &"k".repeat(MAX_KEY + 1),
    ] {
        assert!(other.parse::<HostKey>().is_err(), "{other:?}");
    }
}

#[test]
fn a_message_shows_what_it_refuses_and_no_more() {
    let error = "a.b".parse::<HostKey>().unwrap_err().to_string();
    assert!(error.contains("\"a.b\"") && error.contains("64"), "{error}");
    let error = "x".repeat(1 << 20).parse::<HostKey>().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn a_host_name_gives_a_key() {
    assert_eq!(
        HostKey::of_host_name("a.b.example").unwrap().as_str(),
        "a_b_example"
    );
    assert!(HostKey::of_host_name("").is_err());
}
