use super::*;

const MS: Duration = Duration::from_millis(1);
const SMALL: Size = Size {
    bytes: 100,
    dont_fragment: false,
};

fn link(quality: LinkQuality) -> Link {
    Link::new(quality, Stream::new(1, 1))
}

fn arrivals(link: &mut Link, count: u64) -> Vec<Instant> {
    (0..count)
        .map(|i| {
            match link.carry(
                Instant::default() + MS * u32::try_from(i).unwrap(),
                Direction::Up,
                SMALL,
            ) {
                Passage::Arrives { at, copy: None } => at,
                other => panic!("datagram {i}: {other:?}"),
            }
        })
        .collect()
}

#[test]
fn delay_is_added() {
    let mut link = link(LinkQuality::with_delay(20 * MS));
    assert_eq!(
        arrivals(&mut link, 2),
        [Instant::default() + 20 * MS, Instant::default() + 21 * MS]
    );
}

#[test]
fn a_link_that_is_down_carries_nothing() {
    let mut link = link(LinkQuality {
        up: false,
        ..LinkQuality::with_delay(MS)
    });
    assert_eq!(
        link.carry(Instant::default(), Direction::Down, SMALL),
        Passage::Down
    );
}

#[test]
fn jitter_stays_in_its_range_and_never_reorders_unless_asked() {
    let quality = LinkQuality {
        jitter: 30 * MS,
        ..LinkQuality::with_delay(10 * MS)
    };
    let in_order = arrivals(&mut link(quality), 500);
    assert!(in_order.is_sorted());
    assert!(
        in_order.windows(2).any(|pair| pair[1] - pair[0] > 2 * MS),
        "jitter had no effect"
    );

    let free = arrivals(
        &mut link(LinkQuality {
            reorder: true,
            ..quality
        }),
        500,
    );
    assert!(!free.is_sorted(), "nothing was reordered");
    for (i, at) in free.iter().enumerate() {
        let sent = Instant::default() + MS * u32::try_from(i).unwrap();
        assert!((10 * MS..=40 * MS).contains(&(*at - sent)));
    }
}

#[test]
fn directions_do_not_hold_each_other_back() {
    let mut link = link(LinkQuality::with_delay(100 * MS));
    let _ = link.carry(Instant::default() + 50 * MS, Direction::Up, SMALL);
    let down = link.carry(Instant::default(), Direction::Down, SMALL);
    assert_eq!(
        down,
        Passage::Arrives {
            at: Instant::default() + 100 * MS,
            copy: None
        }
    );
}

#[test]
fn loss_has_the_given_probability() {
    let mut link = link(LinkQuality {
        loss: 0.2,
        ..LinkQuality::with_delay(MS)
    });
    let lost = (0..10_000)
        .filter(|_| link.carry(Instant::default(), Direction::Up, SMALL) == Passage::Lost)
        .count();
    assert!(
        (1_800..2_200).contains(&lost),
        "{lost} of 10000 lost at 20 %"
    );
}

#[test]
fn loss_of_one_loses_all_and_of_zero_none() {
    for (loss, expected) in [(0.0, 0), (1.0, 100)] {
        let mut link = link(LinkQuality {
            loss,
            ..LinkQuality::with_delay(MS)
        });
        let lost = (0..100)
            .filter(|_| link.carry(Instant::default(), Direction::Up, SMALL) == Passage::Lost)
            .count();
        assert_eq!(lost, expected);
    }
}

#[test]
fn duplication_has_the_given_probability() {
    let mut link = link(LinkQuality {
        duplication: 0.1,
        ..LinkQuality::with_delay(MS)
    });
    let twice = (0..10_000)
        .filter(|_| {
            matches!(
                link.carry(Instant::default(), Direction::Up, SMALL),
                Passage::Arrives { copy: Some(_), .. }
            )
        })
        .count();
    assert!(
        (850..1_150).contains(&twice),
        "{twice} of 10000 duplicated at 10 %"
    );
}

#[test]
fn the_same_seed_gives_the_same_link() {
    let quality = LinkQuality {
        jitter: 5 * MS,
        loss: 0.3,
        duplication: 0.3,
        reorder: true,
        ..LinkQuality::with_delay(MS)
    };
    let run = |number| {
        let mut link = Link::new(quality, Stream::new(7, number));
        (0..100)
            .map(|_| link.carry(Instant::default(), Direction::Up, SMALL))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_rate_spaces_datagrams_and_a_queue_is_finite() {
    let mut link = link(LinkQuality {
        rate: 10_000,
        queue: 20 * MS,
        ..LinkQuality::with_delay(MS)
    });
    let mut carry = |direction| link.carry(Instant::default(), direction, SMALL);
    let arrives = |at| Passage::Arrives {
        at: Instant::default() + at,
        copy: None,
    };
    // 100 bytes take 10 ms.
    assert_eq!(carry(Direction::Up), arrives(11 * MS));
    assert_eq!(carry(Direction::Up), arrives(21 * MS));
    assert_eq!(carry(Direction::Up), arrives(31 * MS));
    assert_eq!(carry(Direction::Up), Passage::Overflow);
    assert_eq!(carry(Direction::Down), arrives(11 * MS));
    let later = Instant::default() + 100 * MS;
    assert_eq!(link.carry(later, Direction::Up, SMALL), arrives(111 * MS));
}

#[test]
fn a_long_packet_passes_in_fragments_or_not_at_all() {
    let mut quality = LinkQuality {
        mtu: 1280,
        ..LinkQuality::with_delay(MS)
    };
    let carry = |quality, bytes, dont_fragment| {
        let size = Size {
            bytes,
            dont_fragment,
        };
        link(quality).carry(Instant::default(), Direction::Up, size)
    };
    assert!(matches!(
        carry(quality, 1280, true),
        Passage::Arrives { .. }
    ));
    assert_eq!(carry(quality, 1281, true), Passage::TooLong(Some(1280)));
    assert!(matches!(
        carry(quality, 1281, false),
        Passage::Arrives { .. }
    ));
    quality.fragments = false;
    assert_eq!(carry(quality, 1281, false), Passage::TooLong(None));
}

#[test]
fn an_overtaken_datagram_delays_no_other() {
    let mut link = link(LinkQuality {
        overtaken: 0.1,
        lag: 50 * MS,
        ..LinkQuality::with_delay(10 * MS)
    });
    let arrivals = arrivals(&mut link, 1_000);
    let late = arrivals.iter().zip(0_u32..).filter(|(at, i)| {
        let delay = **at - (Instant::default() + MS * *i);
        assert!(delay == 10 * MS || delay == 60 * MS);
        delay == 60 * MS
    });
    assert!((70..130).contains(&late.count()));
}
