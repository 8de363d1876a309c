use teredo_notify::code::Code;

use super::status_message;
use crate::{Driver, Flavour, Program};

#[test]
fn every_code_has_its_message_in_both_flavours() {
    for code in Code::ALL {
        assert_eq!(
            status_message::<Driver>(Driver::status(code)).to_str(),
            Ok(code.message())
        );
        assert_eq!(
            status_message::<Program>(Program::status(code)).to_str(),
            Ok(code.message())
        );
    }
}

#[test]
fn another_number_is_said_to_be_none_of_them() {
    let text = status_message::<Program>(4711).to_str().unwrap();
    assert!(Code::ALL.iter().all(|code| code.message() != text));
    assert!(!text.is_empty());
}
