use super::*;

#[test]
fn ways_have_names() {
    for way in NatTraversal::ALL {
        assert_eq!(way.to_string().parse(), Ok(way));
    }
    assert!("rfc6082".parse::<NatTraversal>().is_err());
}

/// R6081-5.1.2-01: of contradictory nonces, the last one counts.
#[test]
fn a_datagram_is_one_guess() {
    let mut bytes = Vec::new();
    for nonce in [[1; 4], [2; 4]] {
        Trailer::Nonce(nonce).emit(&mut bytes);
    }
    assert_eq!(nonce_of(&Trailers::new(&bytes)), Some([2; 4]));
    assert_eq!(nonce_of(&Trailers::new(&[])), None);
}

/// A flood of 256 other addresses, as many as a second of answers permits, pushes out a few relays. Each has one answer,
/// within 8 s.
#[test]
fn strangers_push_out_few_relays() {
    let mut answered = AnsweredRelays::new(SipKeys(1, 2));
    let at = |number: u32| SocketAddrV4::new((0x0B00_0000 + number).into(), 3545);
    let now = Instant::default();
    let relays = 0..64;
    relays
        .clone()
        .for_each(|relay| answered.note(now, at(relay)));
    (1_000..1_256).for_each(|stranger| answered.note(now, at(stranger)));
    let kept = relays.filter(|&relay| answered.take(now, at(relay)));
    let kept: Vec<u32> = kept.collect();
    assert!(kept.len() >= 40, "{kept:?}");
    assert!(!answered.take(now, at(kept[0])), "once");
    answered.note(now, at(0));
    let other_port = SocketAddrV4::new(*at(0).ip(), 3546);
    assert!(!answered.take(now, other_port));
    assert!(!answered.take(now + AnsweredRelays::MEMORY, at(0)));
    assert!(answered.take(now, at(0)));
    // One that comes back has its own place.
    answered.note(now, at(1));
    (0..10_000).for_each(|_| answered.note(now, at(2)));
    assert!(answered.take(now, at(1)));
}
