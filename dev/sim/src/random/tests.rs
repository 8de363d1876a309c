use super::*;

#[test]
fn machines_differ_by_seed_and_number() {
    assert_ne!(machine_seed(1, 1), machine_seed(1, 2));
    assert_ne!(machine_seed(1, 1), machine_seed(2, 1));
}
