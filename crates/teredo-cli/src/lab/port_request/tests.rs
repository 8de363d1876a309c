use super::*;

fn message(op: u8, code: u8, lifetime: u32) -> Vec<u8> {
    let mut message = vec![VERSION, op, 0, code];
    message.extend(lifetime.to_be_bytes());
    message.resize(HEADER + 16, 0);
    message.extend(40_623_u16.to_be_bytes());
    message.extend(50_000_u16.to_be_bytes());
    message.extend(Ipv4Addr::new(44, 128, 0, 1).to_ipv6_mapped().octets());
    message
}

#[test]
fn a_request_and_its_answer_are_named() {
    let words = |op, code, lifetime| words(&message(op, code, lifetime));
    for (op, code, lifetime, expected) in [
        (MAP, 0, 1200, "PCP: open a port for 40623"),
        (MAP, 0, 0, "PCP: take port 40623 back"),
        (
            MAP | RESPONSE,
            0,
            1200,
            "PCP: 44.128.0.1:50000 is open to all",
        ),
        (MAP | RESPONSE, 0, 0, "PCP: port 40623 is taken back"),
        (MAP | RESPONSE, 2, 30, "PCP: refused, code 2"),
    ] {
        assert_eq!(words(op, code, lifetime).as_deref(), Some(expected));
    }
}

#[test]
fn anything_else_has_no_name() {
    let whole = message(MAP, 0, 1200);
    assert_eq!(words(&whole[..LENGTH - 1]), None);
    assert_eq!(words(&message(2, 0, 1200)), None);
    let mut older = whole;
    older[0] = 0;
    assert_eq!(words(&older), None);
}
