use super::*;

fn query(kind: u8) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x06teredo\x07example\0");
    query.extend([0, kind, 0, 1]);
    query
}

#[test]
fn an_address_is_answered() {
    let answer = answer(&query(1), Ipv4Addr::new(192, 0, 2, 45)).unwrap();
    assert_eq!(answer[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
    assert_eq!(answer[answer.len() - 6..], [0, 4, 192, 0, 2, 45]);
}

#[test]
fn another_type_has_an_empty_answer() {
    let answer = answer(&query(28), Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(answer[6..8], [0, 0]);
    assert_eq!(answer.len(), query(28).len());
}

#[test]
fn what_is_no_query_is_not_answered() {
    let mut response = query(1);
    response[2] |= 0x80;
    assert_eq!(answer(&response, Ipv4Addr::LOCALHOST), None);
    let mut pointer = query(1);
    pointer[12] = 0xc0;
    assert_eq!(answer(&pointer, Ipv4Addr::LOCALHOST), None);
    for length in 0..query(1).len() {
        assert_eq!(answer(&query(1)[..length], Ipv4Addr::LOCALHOST), None);
    }
}
