use super::*;

fn counters(rx_bytes: u64, tx_bytes: u64) -> Counters {
    Counters {
        rx_bytes,
        tx_bytes,
        ..Counters::default()
    }
}

#[test]
fn rates_are_of_the_time_between() {
    let rates = Rates::between(
        &counters(1000, 0),
        &counters(3048, 512),
        Duration::from_millis(500),
    );
    assert_eq!(
        (rates.rx(), rates.tx()),
        ("4.0 KiB/s".into(), "1.0 KiB/s".into())
    );
}

/// The node was restarted, or two looks came at once.
#[test]
fn nothing_overflows() {
    let rates = Rates::between(
        &counters(u64::MAX, 7),
        &counters(2048, u64::MAX),
        Duration::ZERO,
    );
    assert_eq!(
        rates,
        Rates {
            rx: 2_048_000,
            tx: u64::MAX
        }
    );
}
