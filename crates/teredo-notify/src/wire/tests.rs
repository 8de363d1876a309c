use serde_json::json;

use super::{Decoder, IncomingCall, MAX_MESSAGE, OutgoingCall, Reply, WireError};

fn all(decoder: &mut Decoder) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| decoder.next().unwrap().map(<[u8]>::to_vec)).collect()
}

#[test]
fn messages_are_cut_at_every_nul_wherever_the_reads_end() {
    let stream = b"one\0\0three\0four";
    for size in 1..=stream.len() {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for chunk in stream.chunks(size) {
            decoder.push(chunk);
            messages.extend(all(&mut decoder));
        }
        assert_eq!(
            messages,
            [b"one".to_vec(), b"".to_vec(), b"three".to_vec()],
            "reads of {size}"
        );
    }
}

#[test]
fn a_message_has_a_limit_with_or_without_its_end() {
    let mut fits = Decoder::default();
    fits.push(&vec![b'x'; MAX_MESSAGE - 1]);
    assert!(matches!(fits.next(), Ok(None)));
    fits.push(b"\0");
    assert_eq!(fits.next().unwrap().map(<[u8]>::len), Some(MAX_MESSAGE - 1));

    let mut endless = Decoder::default();
    endless.push(&vec![b'x'; MAX_MESSAGE]);
    assert!(matches!(endless.next(), Err(WireError::TooLong)));

    let mut ended = Decoder::default();
    ended.push(&vec![b'x'; MAX_MESSAGE - 1]);
    assert!(matches!(ended.next(), Ok(None)));
    ended.push(b"x\0");
    assert!(matches!(ended.next(), Err(WireError::TooLong)));
}

#[test]
fn the_decoder_keeps_no_more_than_one_incomplete_message() {
    let mut decoder = Decoder::default();
    for _ in 0..1000 {
        decoder.push(&[b'x'; 1000]);
        decoder.push(b"\0half");
        assert!(decoder.next().unwrap().is_some());
        assert!(decoder.next().unwrap().is_none());
        decoder.push(b"\0");
        assert!(decoder.next().unwrap().is_some());
        assert!(decoder.next().unwrap().is_none());
    }
    assert!(decoder.buffer.capacity() < 8 * 1024);
}

#[test]
fn calls_are_read_as_they_are_written() {
    let call = OutgoingCall::settle(3, 4).encode();
    let call = IncomingCall::decode(call.strip_suffix(b"\0").unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(call.method, "io.teredo.Client.Settle");
    assert!(call.oneway && !call.more);
    assert_eq!(call.parameters["sequence"], 4);
}

#[test]
fn wrong_calls_get_a_reply_that_names_the_fault() {
    for (call, parameter) in [
        (json!({}), "method"),
        (json!({ "method": 7 }), "method"),
        (json!({ "method": "a.b", "parameters": [] }), "parameters"),
        (json!({ "method": "a.b", "more": 1 }), "more"),
        (json!({ "method": "a.b", "oneway": "yes" }), "oneway"),
        (json!({ "method": "a.b", "upgrade": true }), "upgrade"),
    ] {
        let refusal = IncomingCall::decode(call.to_string().as_bytes())
            .unwrap()
            .unwrap_err();
        assert_eq!(refusal, Some(Reply::invalid_parameter(parameter)), "{call}");
    }
    let silent = json!({ "method": 7, "oneway": true }).to_string();
    assert_eq!(
        IncomingCall::decode(silent.as_bytes())
            .unwrap()
            .unwrap_err(),
        None
    );
}

#[test]
fn what_is_no_json_object_is_an_error() {
    for message in [
        &b""[..],
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{\"method\":\"\xff\"}",
    ] {
        assert!(IncomingCall::decode(message).is_err(), "{message:?}");
    }
    let deep = "[".repeat(MAX_MESSAGE - 1);
    assert!(IncomingCall::decode(deep.as_bytes()).is_err());
}
