use crate::{Driver, Program, status};

/// No panic reaches C; the status is Windows' internal error.
#[test]
fn a_panic_is_an_internal_error() {
    let driver = status::<Driver>(|| panic!("a bug"));
    assert_eq!(driver.cast_unsigned(), 0xC000_0008);
    assert_eq!(status::<Program>(|| panic!("a bug")), 6);
}
