use std::collections::VecDeque;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::super::underway::Due;
use super::*;

const TOKEN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4);
const ASK: Ask = Ask {
    sender: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    token: TOKEN,
};

/// Answers for a peer, and returns the packets that waited for it.
fn answered(
    peers: &mut Underway,
    key: Key,
    bubble_to: Option<Ipv6Addr>,
) -> Option<VecDeque<Vec<u8>>> {
    let answered = peers.answered(key, bubble_to)?;
    assert_eq!(answered.ask, ASK);
    assert_eq!(answered.proves_path, bubble_to == Some(TOKEN));
    Some(answered.waiting)
}

/// A sender in a /32 of its own.
fn sender(number: u32) -> Ipv6Addr {
    Ipv6Addr::new(0x2600, number as u16, 0, 0, 0, 0, 0, 1)
}

fn underway(peers: usize) -> Underway {
    let bounds = Bounds {
        peers,
        queue_bytes: 1500,
        total_queue_bytes: 8000,
    };
    Underway::new(bounds, SipKeys(1, 2))
}

/// R4380-5.4.1-06: repeats after 2, 4 and 6 s; the end after 8 s.
#[test]
fn three_repeats_two_seconds_apart() {
    let mut peers = underway(10);
    peers.begin(at(0), key(1), ASK, Cause::Native);
    assert!(peers.enqueue(key(1), sender(0), &[7; 40]));
    for (repetition, millis) in [(1, 2000), (2, 4000), (3, 6000)] {
        assert_eq!(peers.due(at(millis - 1)), None);
        assert_eq!(peers.next_deadline(), Some(at(millis)));
        assert_eq!(
            peers.due(at(millis)),
            Some(Due::Repeat(key(1), ASK, repetition))
        );
        assert_eq!(peers.due(at(millis)), None);
    }
    assert_eq!(peers.due(at(8000)), Some(Due::GiveUp([vec![7; 40]].into())));
    assert_eq!(
        (peers.len(), peers.queued_bytes(), peers.next_deadline()),
        (0, 0, None)
    );
}

/// R4380-5.4.2-03: a stranger provokes one bubble, until a packet of the IPv6 Internet waits.
#[test]
fn a_stranger_provokes_one_bubble() {
    let mut peers = underway(10);
    peers.begin(at(0), key(1), ASK, Cause::Provoked);
    assert_eq!(peers.due(at(2000)), Some(Due::GiveUp(VecDeque::new())));

    peers.begin(at(3000), key(1), ASK, Cause::Provoked);
    assert_eq!(
        answered(&mut peers, key(1), None),
        None,
        "data is no answer"
    );
    assert_eq!(
        answered(&mut peers, key(1), Some(Ipv6Addr::LOCALHOST)),
        None,
        "nor is another bubble"
    );
    assert_eq!(
        answered(&mut peers, key(1), Some(TOKEN)),
        Some(VecDeque::new())
    );

    peers.begin(at(3000), key(1), ASK, Cause::Provoked);
    assert!(peers.enqueue(key(1), sender(0), &[0; 40]));
    assert_eq!(peers.due(at(5000)), Some(Due::Repeat(key(1), ASK, 1)));
}

/// R4380-5.4.2-03, R4380-5.4.1-05: any packet releases what waits, and only an answer with the token ends the question: a
/// packet may be forged.
#[test]
fn only_the_token_ends_the_question() {
    let mut peers = underway(10);
    peers.begin(at(0), key(1), ASK, Cause::Native);
    assert!(peers.enqueue(key(1), sender(0), &[7; 40]));
    assert_eq!(
        answered(&mut peers, key(1), None),
        Some([vec![7; 40]].into())
    );
    assert!(peers.contains(key(1)) && peers.shares_are_empty());
    assert_eq!(peers.due(at(2000)), Some(Due::Repeat(key(1), ASK, 1)));
    assert_eq!(
        answered(&mut peers, key(1), Some(TOKEN)),
        Some(VecDeque::new())
    );
    assert!(!peers.contains(key(1)));
}

/// The bubbles that were sent are counted, not those that were due.
#[test]
fn bubbles_are_counted() {
    let mut peers = underway(10);
    peers.begin(at(0), key(1), ASK, Cause::Native);
    for millis in [2000, 4000, 6000] {
        assert!(peers.due(at(millis)).is_some());
    }
    peers.count_bubble(key(1));
    let answered = peers.answered(key(1), None).unwrap();
    assert_eq!((answered.bubbles, answered.cause), (2, Cause::Native));
}

/// R4380-5.4.1-07: each peer has a queue in order; each queue is bounded, and so are all together; the peer that waited
/// longest makes room.
#[test]
fn queues_are_bounded() {
    let mut peers = underway(10);
    for number in 1..=6 {
        peers.begin(at(0), key(number), ASK, Cause::Native);
    }
    assert!(peers.enqueue(key(1), sender(1), &[1; 1000]));
    assert!(peers.enqueue(key(1), sender(2), &[2; 500]));
    assert!(
        !peers.enqueue(key(1), sender(3), &[3; 1]),
        "the peer's bound"
    );
    for number in 2..=5 {
        assert!(peers.enqueue(key(number), sender(number), &[4; 1500]));
    }
    assert!(
        peers.enqueue(key(6), sender(6), &[5; 1000]),
        "the longest wait makes room"
    );
    assert_eq!(peers.take_evicted_packets(), 2);
    assert!(!peers.contains(key(1)));
    assert_eq!(peers.queued_bytes(), 7000);
    assert_eq!(
        answered(&mut peers, key(2), Some(TOKEN)),
        Some([vec![4; 1500]].into())
    );
    assert!(
        !peers.enqueue(key(2), sender(0), &[0; 1]),
        "it is not under way"
    );
}

/// R4380-7.3.5-01: packets of a /64 fill a quarter of the queues, those of a /48 three eighths and those of a /32 a half,
/// no matter who caused the bubbles. Others find room, and nothing of theirs is lost.
#[test]
fn networks_fill_their_shares_only() {
    let mut peers = underway(100);
    for number in 0..100 {
        peers.begin(at(0), key(number), ASK, Cause::Native);
    }
    let attacker = sender(1).to_bits();
    let newcomer = |peers: &mut Underway| peers.enqueue(key(99), sender(2), &[0; 100]);
    assert!(newcomer(&mut peers));
    for (prefix, step, share) in [(64, 0, 2000), (48, 1 << 64, 3000), (32, 1 << 80, 4000)] {
        for number in 0..90 {
            let from = Ipv6Addr::from_bits(attacker + u128::from(number) * step);
            peers.enqueue(key(number), from, &[0; 100]);
        }
        assert_eq!(peers.queued_bytes(), share + 100, "a /{prefix}");
    }
    for _ in 0..14 {
        assert!(newcomer(&mut peers));
    }
    assert_eq!(peers.take_evicted_packets(), 0);
    peers.retain(|_| false);
    assert!(peers.queued_bytes() == 0 && peers.shares_are_empty());
}

/// R4380-7.3.5-01: beyond the bound, the peers that waited longest make room.
#[test]
fn the_longest_wait_makes_room() {
    let mut peers = underway(3);
    for number in 0..100 {
        peers.begin(at(number.into()), key(number), ASK, Cause::Native);
        assert!(peers.enqueue(key(number), sender(0), &[0; 40]));
        assert!(peers.len() <= 3);
    }
    assert_eq!(peers.take_evicted_packets(), 97);
    assert!((97..100).all(|number| peers.contains(key(number))));
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u32, bool),
    /// A packet of this length for this peer, from this sender.
    Enqueue(u32, usize, u32),
    Answer(u32, bool),
    Pass(u64),
    Refuse(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..12u32, any::<bool>()).prop_map(|(number, native)| Step::Begin(number, native)),
        4 => (0..12u32, 1..1300usize, 0..5u32).prop_map(|(number, len, from)| Step::Enqueue(number, len, from)),
        1 => (0..12u32, any::<bool>()).prop_map(|(number, bubble)| Step::Answer(number, bubble)),
        2 => (0..3000u64).prop_map(Step::Pass),
        1 => (0..12u32).prop_map(Step::Refuse),
    ]
}

/// A peer of the naive model.
struct Plain {
    number: u32,
    native: bool,
    attempts: u32,
    due: u64,
    /// The packets and their senders.
    queue: Vec<(u32, Vec<u8>)>,
}

impl Plain {
    fn bytes_of(&self, sender: u32) -> usize {
        let own = self.queue.iter().filter(|&&(from, _)| from == sender);
        own.map(|(_, packet)| packet.len()).sum()
    }

    fn packets(self) -> VecDeque<Vec<u8>> {
        self.queue.into_iter().map(|(_, packet)| packet).collect()
    }

    fn bytes(&self) -> usize {
        self.queue.iter().map(|(_, packet)| packet.len()).sum()
    }
}

proptest! {
    /// R4380-5.4.1-06, R4380-5.4.1-07: queues, deadlines and bounds are those of a plain list.
    #[test]
    fn the_peers_under_way_are_a_list(steps in prop::collection::vec(step(), 0..300)) {
        let mut peers = underway(8);
        let mut model: Vec<Plain> = Vec::new();
        let mut lost = 0;
        let mut millis = 0;
        let mut stamp = 0u8;
        for step in steps {
            match step {
                Step::Begin(number, native) => if !model.iter().any(|peer| peer.number == number) {
                    if model.len() == 8 {
                        lost += model.remove(0).queue.len();
                    }
                    model.push(Plain {
                        number,
                        native,
                        attempts: if native { 1 } else { 4 },
                        due: millis + 2000,
                        queue: Vec::new(),
                    });
                    let cause = if native { Cause::Native } else { Cause::Provoked };
                    peers.begin(at(millis), key(number), ASK, cause);
                },
                Step::Enqueue(number, len, from) => {
                    stamp = stamp.wrapping_add(1);
                    let packet = vec![stamp; len];
                    let mut fits = false;
                    if let Some(mut index) = model.iter().position(|peer| peer.number == number)
                        && model[index].bytes() + len <= 1500
                        && model.iter().map(|peer| peer.bytes_of(from)).sum::<usize>() + len <= 2000
                    {
                        if model[index].queue.is_empty() {
                            model[index].attempts = 1;
                            model[index].native = true;
                        }
                        while model.iter().map(Plain::bytes).sum::<usize>() + len > 8000 && index > 0 {
                            lost += model.remove(0).queue.len();
                            index -= 1;
                        }
                        fits = model.iter().map(Plain::bytes).sum::<usize>() + len <= 8000;
                        if fits {
                            model[index].queue.push((from, packet.clone()));
                        }
                    }
                    prop_assert_eq!(peers.enqueue(key(number), sender(from), &packet), fits);
                }
                Step::Answer(number, bubble) => {
                    let index = model
                        .iter()
                        .position(|peer| peer.number == number && (peer.native || bubble));
                    let queue = index.map(|index| if bubble {
                        model.remove(index).packets()
                    } else {
                        let queue = std::mem::take(&mut model[index].queue).into_iter();
                        queue.map(|(_, packet)| packet).collect()
                    });
                    let waiting = answered(&mut peers, key(number), bubble.then_some(TOKEN));
                    prop_assert_eq!(waiting, queue);
                }
                Step::Pass(time) => {
                    millis += time;
                    while let Some(first) = model.first().filter(|peer| peer.due <= millis) {
                        let expected = if first.attempts == 4 {
                            Due::GiveUp(model.remove(0).packets())
                        } else {
                            let mut peer = model.remove(0);
                            peer.attempts += 1;
                            peer.due = millis + 2000;
                            let (number, repetition) = (peer.number, peer.attempts - 1);
                            model.push(peer);
                            Due::Repeat(key(number), ASK, repetition as u8)
                        };
                        prop_assert_eq!(peers.due(at(millis)), Some(expected));
                    }
                    prop_assert_eq!(peers.due(at(millis)), None);
                }
                Step::Refuse(number) => {
                    peers.retain(|other| other != key(number));
                    if let Some(index) = model.iter().position(|peer| peer.number == number) {
                        lost += model.remove(index).queue.len();
                    }
                }
            }
            prop_assert_eq!(peers.len(), model.len());
            prop_assert_eq!(peers.queued_bytes(), model.iter().map(Plain::bytes).sum::<usize>());
            prop_assert_eq!(peers.next_deadline(), model.first().map(|peer| at(peer.due)));
        }
        prop_assert_eq!(peers.take_evicted_packets(), lost);
        peers.retain(|_| false);
        prop_assert!(peers.shares_are_empty());
    }
}
