use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{MAX_RANDOM_PORTS, RANDOM_PORT_RANGE, RandomPortError, RandomPorts, RandomSnapshot};

proptest! {
    /// A bounded set of ports, in any order of additions.
    #[test]
    fn the_set_is_sorted_bounded_and_without_duplicates(
        added in prop::collection::vec(49_142..49_802_u16, 0..1_000),
    ) {
        let mut ports = RandomPorts::default();
        let mut expected = BTreeSet::new();
        for port in added {
            let judged = match port {
                ..49_152 => Err(RandomPortError::OutOfRange(port)),
                _ if expected.contains(&port) || expected.len() < MAX_RANDOM_PORTS => Ok(()),
                _ => Err(RandomPortError::TooMany),
            };
            prop_assert_eq!(ports.insert(port), judged);
            if judged.is_ok() {
                expected.insert(port);
            }
            prop_assert!(ports.as_slice().iter().eq(&expected));
            prop_assert_eq!(ports.len(), expected.len());
            let mut same = RandomPorts::default();
            expected.iter().rev().for_each(|port| same.insert(*port).unwrap());
            prop_assert_eq!(ports, same, "equal sets are equal values");
        }
    }
}

/// No service of the system, and not the port of Teredo's servers.
#[test]
fn the_range_is_that_of_dynamic_ports() {
    for port in [0, 22, 1023, 3544, 5353, 49_151] {
        assert!(!RANDOM_PORT_RANGE.contains(&port), "{port}");
    }
    assert_eq!(RANDOM_PORT_RANGE.count(), 1 << 14);
}

/// A reader takes any order and duplicates, but neither ports outside the range nor more than the bound.
#[test]
fn the_json_form_is_a_list() {
    let state: RandomSnapshot =
        serde_json::from_str(r#"{"sequence":3,"ports":[50002,50001,50002]}"#).unwrap();
    assert_eq!(state.ports.as_slice(), [50_001, 50_002]);
    assert_eq!(
        serde_json::to_string(&state).unwrap(),
        r#"{"sequence":3,"ports":[50001,50002]}"#
    );
    let too_many: Vec<u16> = (50_001..=50_001 + MAX_RANDOM_PORTS as u16).collect();
    for bad in [
        "[0]".to_owned(),
        "[50001,3544]".to_owned(),
        "[65536]".to_owned(),
        serde_json::to_string(&too_many).unwrap(),
    ] {
        assert!(serde_json::from_str::<RandomPorts>(&bad).is_err(), "{bad}");
    }
}
