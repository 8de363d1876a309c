use super::*;

fn client(number: u32) -> Limited {
    Limited::Client(Ipv4Addr::from_bits(number))
}

#[test]
fn the_most_refused_comes_first() {
    let mut refusals = Refusals::default();
    for number in [1, 2, 2, 3, 2, 1] {
        refusals.count(client(number));
    }
    assert_eq!(
        refusals.most(),
        [(client(2), 3), (client(1), 2), (client(3), 1)]
    );
}

/// Ten thousand destinations with a refusal each push out none that has its share.
#[test]
fn the_list_is_short_and_keeps_what_is_frequent() {
    let mut refusals = Refusals::default();
    for number in 0..10_000 {
        refusals.count(client(number + 10));
        if number % 4 == 0 {
            refusals.count(client(1));
        }
    }
    let most = refusals.most();
    assert_eq!(most.len(), PLACES);
    let (first, count) = most[0];
    assert_eq!(first, client(1));
    assert!((2500..2500 + 12_500 / 16).contains(&count), "{count}");
}
