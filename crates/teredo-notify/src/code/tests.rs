use std::collections::HashSet;

use super::{CancelError, Code, GetPortError, NotifyError};

/// The table "Return codes" of the contract.
#[test]
fn numbers_and_names_are_those_of_windows() {
    let table = [
        (Code::Success, 0, "STATUS_SUCCESS", 0, "NO_ERROR"),
        (
            Code::InvalidParameter,
            0xC000_000D,
            "STATUS_INVALID_PARAMETER",
            87,
            "ERROR_INVALID_PARAMETER",
        ),
        (
            Code::InvalidHandle,
            0xC000_0008,
            "STATUS_INVALID_HANDLE",
            6,
            "ERROR_INVALID_HANDLE",
        ),
        (
            Code::InsufficientResources,
            0xC000_009A,
            "STATUS_INSUFFICIENT_RESOURCES",
            8,
            "ERROR_NOT_ENOUGH_MEMORY",
        ),
        (
            Code::DeviceNotReady,
            0xC000_00A3,
            "STATUS_DEVICE_NOT_READY",
            21,
            "ERROR_NOT_READY",
        ),
        (
            Code::NotSupported,
            0xC000_00BB,
            "STATUS_NOT_SUPPORTED",
            50,
            "ERROR_NOT_SUPPORTED",
        ),
    ];
    assert_eq!(table.map(|row| row.0), Code::ALL);
    for (code, ntstatus, ntstatus_name, win32, win32_name) in table {
        assert_eq!((code.ntstatus(), code.win32()), (ntstatus, win32));
        assert_eq!(
            (code.ntstatus_name(), code.win32_name()),
            (ntstatus_name, win32_name)
        );
    }
}

#[test]
fn each_operation_fails_with_its_codes() {
    assert_eq!(NotifyError::InvalidParameter.ntstatus(), 0xC000_000D);
    assert_eq!(NotifyError::InvalidHandle.win32(), 6);
    assert_eq!(NotifyError::InsufficientResources.win32(), 8);
    assert_eq!(GetPortError::NotReady.ntstatus(), 0xC000_00A3);
    assert_eq!(GetPortError::NotSupported.win32(), 50);
    assert_eq!(CancelError::InvalidHandle.ntstatus(), 0xC000_0008);
    assert_eq!(
        CancelError::InvalidParameter.to_string(),
        Code::InvalidParameter.message()
    );
}

#[test]
fn every_code_is_found_in_every_notation() {
    for code in Code::ALL {
        for text in [
            code.ntstatus_name().to_owned(),
            code.win32_name().to_ascii_lowercase(),
            code.ntstatus().to_string(),
            code.ntstatus().cast_signed().to_string(),
            code.win32().to_string(),
            format!("{:#x}", code.ntstatus()),
            format!(" 0X{:X} ", code.win32()),
        ] {
            assert_eq!(Code::parse(&text), Some(code), "{text}");
        }
    }
    let messages: HashSet<_> = Code::ALL.iter().map(|code| code.message()).collect();
    assert_eq!(messages.len(), Code::ALL.len());
}

#[test]
fn other_text_is_no_code() {
    for text in [
        "",
        "0x",
        "22",
        "STATUS_",
        "0x1C00000A3",
        "99999999999",
        "-1",
        "é",
    ] {
        assert_eq!(Code::parse(text), None, "{text}");
    }
}
