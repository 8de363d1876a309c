//! The codes' messages as C strings. They are constants, so they need no initialisation and are available everywhere,
//! even in a signal handler.

use std::ffi::CStr;

use teredo_notify::code::Code;

use crate::Flavour;

/// `TeredoStatusMessage`: describes a status, as FormatMessage does on Windows. If no function here returns the number,
/// the text says so.
#[must_use]
pub fn status_message<F: Flavour>(status: F::Status) -> &'static CStr {
    match Code::from_number(F::number(status)) {
        Some(code) => text(code),
        None => c"this is no status of the port notification functions",
    }
}

fn text(code: Code) -> &'static CStr {
    macro_rules! text {
        ($code:expr) => {{
            const TEXT: &[u8; $code.message().len() + 1] = &terminated($code.message());
            const { c_str(TEXT) }
        }};
    }
    match code {
        Code::Success => text!(Code::Success),
        Code::InvalidParameter => text!(Code::InvalidParameter),
        Code::InvalidHandle => text!(Code::InvalidHandle),
        Code::InsufficientResources => text!(Code::InsufficientResources),
        Code::DeviceNotReady => text!(Code::DeviceNotReady),
        Code::NotSupported => text!(Code::NotSupported),
    }
}

const fn c_str(terminated: &[u8]) -> &CStr {
    match CStr::from_bytes_with_nul(terminated) {
        Ok(text) => text,
        Err(_) => panic!("a message contains a zero byte"),
    }
}

const fn terminated<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let (head, _) = bytes.split_at_mut(text.len());
    head.copy_from_slice(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests;
