use crate::{Driver, Program, status};

/// A panic does not reach C; the status is the one that Windows has for internal errors.
#[test]
fn a_panic_is_an_internal_error() {
    let driver = status::<Driver>(|| panic!("a bug"));
    assert_eq!(driver.cast_unsigned(), 0xC000_0008);
    assert_eq!(status::<Program>(|| panic!("a bug")), 6);
}
