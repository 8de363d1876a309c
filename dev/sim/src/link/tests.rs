use super::*;

const MS: Duration = Duration::from_millis(1);

fn link(quality: LinkQuality) -> Link {
    Link::new(quality, Stream::new(1, 1))
}

fn arrivals(link: &mut Link, count: u64) -> Vec<Instant> {
    (0..count)
        .map(|i| {
            match link.carry(
                Instant::default() + MS * u32::try_from(i).unwrap(),
                Direction::Up,
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
        link.carry(Instant::default(), Direction::Down),
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
    let _ = link.carry(Instant::default() + 50 * MS, Direction::Up);
    let down = link.carry(Instant::default(), Direction::Down);
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
        .filter(|_| link.carry(Instant::default(), Direction::Up) == Passage::Lost)
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
            .filter(|_| link.carry(Instant::default(), Direction::Up) == Passage::Lost)
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
                link.carry(Instant::default(), Direction::Up),
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
            .map(|_| link.carry(Instant::default(), Direction::Up))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
