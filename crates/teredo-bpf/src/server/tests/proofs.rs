//! The kernel answers only while the stack was lately seen to let solicitations in and answers out.

use super::super::probe::{CLIENT, INTERFACE, SENT, SERVER, question, sum};
use super::super::{serving::LET_IN, serving::LET_OUT, *};
use crate::bytes::put;

const INTERVAL: Duration = Duration::from_secs(100);

const PASSED: u32 = 2;

/// An open path for one source.
fn open_path() -> Server {
    let mut path = Server::load().unwrap();
    path.set_interval(INTERVAL).unwrap();
    path.advertise(0, &[0; ADVERTISEMENT_LEN]).unwrap();
    path.set_sources(vec![Source {
        network: CLIENT.into(),
        len: 32,
        interface: Some(INTERFACE),
    }])
    .unwrap();
    path.open().unwrap();
    path
}

/// The last proofs are so old.
fn prove(path: &mut Server, let_in: u64, let_out: u64) {
    let serving = Serving {
        other: None,
        pair: 0,
        interface: AttachedTo {
            index: INTERFACE,
            hardware: [0; 6],
            mode: Mode::Generic,
        },
        ttl: 64,
    };
    let mut bytes = serving.to_bytes();
    let now = nanos(now());
    let at = |age: u64| (now - Duration::from_secs(age).as_nanos() as u64).to_ne_bytes();
    put(&mut bytes, LET_IN, at(let_in));
    put(&mut bytes, LET_OUT, at(let_out));
    path.addresses.insert(SERVER.octets(), bytes, 0).unwrap();
}

/// The outcome of one solicitation without a checksum.
fn outcome(path: &mut Server) -> ServerOutcome {
    outcome_of(path, &question())
}

fn outcome_of(path: &mut Server, frame: &[u8]) -> ServerOutcome {
    let counts = |path: &Server| ServerOutcome::ALL.map(|outcome| path.outcome(outcome).unwrap());
    let before = counts(path);
    let (verdict, _) = path.run(frame).unwrap();
    let after = counts(path);
    let counted: Vec<_> = ServerOutcome::ALL
        .into_iter()
        .filter(|&outcome| after[outcome as usize] > before[outcome as usize])
        .collect();
    let [outcome] = counted[..] else {
        panic!("{counted:?}");
    };
    let answered = outcome == ServerOutcome::Answered;
    assert_eq!(verdict, if answered { SENT } else { PASSED });
    outcome
}

/// Proofs are void if they are older than this. The machine has run for longer.
fn void_since(path: &mut Server, age: u64) {
    let since = nanos(now()) - Duration::from_secs(age).as_nanos() as u64;
    path.control.set(SINCE, since, 0).unwrap();
}

#[test]
fn a_proof_is_good_for_four_intervals() {
    let mut path = open_path();
    void_since(&mut path, 1000);
    for (let_in, let_out, expected) in [
        (0, 0, ServerOutcome::Answered),
        (90, 90, ServerOutcome::Answered),
        (390, 0, ServerOutcome::Sample),
        (0, 390, ServerOutcome::Sample),
        (410, 0, ServerOutcome::Unproven),
        (0, 410, ServerOutcome::Unproven),
    ] {
        prove(&mut path, let_in, let_out);
        assert_eq!(outcome(&mut path), expected, "{let_in}, {let_out}");
    }
}

/// One solicitation asks in an interval; the others are answered meanwhile.
#[test]
fn one_solicitation_asks_in_an_interval() {
    let mut path = open_path();
    void_since(&mut path, 1000);
    prove(&mut path, 150, 150);
    assert_eq!(outcome(&mut path), ServerOutcome::Sample);
    assert_eq!(outcome(&mut path), ServerOutcome::Answered);
    assert_eq!(outcome(&mut path), ServerOutcome::Answered);
}

#[test]
fn a_proof_from_before_a_change_is_void() {
    let mut path = open_path();
    prove(&mut path, 10, 10);
    assert_eq!(outcome(&mut path), ServerOutcome::Unproven);
    prove(&mut path, 0, 0);
    assert_eq!(outcome(&mut path), ServerOutcome::Answered);
    path.close().unwrap();
    assert_eq!(outcome(&mut path), ServerOutcome::Closed);
}

/// The bucket is that of the state machine in Rust, and an empty one leaves the solicitation to it.
#[test]
fn an_empty_bucket_leaves_the_rest() {
    let mut path = open_path();
    let token = Duration::from_secs(1000).as_nanos() as u64;
    let limit = BucketLimit {
        token,
        depth: 3 * token,
        factor: 0x9e37_79b9_7f4a_7c15,
    };
    path.set_limit(Some(limit)).unwrap();
    prove(&mut path, 0, 0);
    for _ in 0..3 {
        assert_eq!(outcome(&mut path), ServerOutcome::Answered);
    }
    assert_eq!(outcome(&mut path), ServerOutcome::Limited);
    path.set_limit(None).unwrap();
    assert_eq!(outcome(&mut path), ServerOutcome::Answered);
}

/// In front of the stack, the kernel has noted where a half checksum is to be completed: not in the answer. It may be the right
/// sum by chance.
#[test]
fn a_half_checksum_that_is_right_by_chance_is_left() {
    let mut path = open_path();
    void_since(&mut path, 1000);
    prove(&mut path, 0, 0);
    let mut frame = question();
    // The pseudo header: addresses, protocol and length.
    let half = sum(&frame[26..34], 17 + 56);
    put(&mut frame, 40, half.to_be_bytes());
    // The flow label is the client's choice.
    let chosen = !sum(&frame[34..], u32::from(half));
    put(&mut frame, 44, chosen.to_be_bytes());
    assert_eq!(sum(&frame[34..], u32::from(half)), 0xffff);
    assert_eq!(outcome_of(&mut path, &frame), ServerOutcome::Checksum);
    // The sum of a datagram that differs is answered.
    put(&mut frame, 44, [0, 0]);
    put(&mut frame, 40, [0, 0]);
    let whole = !sum(&frame[34..], u32::from(half));
    put(&mut frame, 40, whole.to_be_bytes());
    assert_eq!(outcome_of(&mut path, &frame), ServerOutcome::Answered);
}
