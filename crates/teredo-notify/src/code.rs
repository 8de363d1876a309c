//! Status codes of the Windows functions, in both flavours: NTSTATUS for drivers, Win32 for programs.

use std::fmt;

use crate::hub::RegisterError;

/// The status of a call of the notification functions.
///
/// The numbers are those of Windows' `ntstatus.h` and `winerror.h`; the `Display` form is the message.
///
/// ```
/// use teredo_notify::code::Code;
///
/// assert_eq!(Code::DeviceNotReady.ntstatus(), 0xC000_00A3);
/// assert_eq!(Code::DeviceNotReady.win32(), 21);
/// assert_eq!(Code::DeviceNotReady.win32_name(), "ERROR_NOT_READY");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The call has succeeded.
    Success,
    /// A pointer or handle is NULL and must not be.
    InvalidParameter,
    /// The handle is unknown or was cancelled before.
    InvalidHandle,
    /// No memory is left, or the limit of registrations is reached.
    InsufficientResources,
    /// The Teredo client has no port.
    DeviceNotReady,
    /// The host has no IPv6.
    NotSupported,
}

struct Row {
    ntstatus: u32,
    win32: u32,
    ntstatus_name: &'static str,
    win32_name: &'static str,
    message: &'static str,
    next_step: &'static str,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::InvalidParameter,
        Self::InvalidHandle,
        Self::InsufficientResources,
        Self::DeviceNotReady,
        Self::NotSupported,
    ];

    const fn row(self) -> Row {
        match self {
            Self::Success => Row {
                ntstatus: 0,
                win32: 0,
                ntstatus_name: "STATUS_SUCCESS",
                win32_name: "NO_ERROR",
                message: "the operation has succeeded",
                next_step: "nothing needs to be done",
            },
            Self::InvalidParameter => Row {
                ntstatus: 0xC000_000D,
                win32: 87,
                ntstatus_name: "STATUS_INVALID_PARAMETER",
                win32_name: "ERROR_INVALID_PARAMETER",
                message: "a parameter is not valid: a callback, handle or pointer is NULL",
                next_step: "pass a callback and the address of a variable for the result",
            },
            Self::InvalidHandle => Row {
                ntstatus: 0xC000_0008,
                win32: 6,
                ntstatus_name: "STATUS_INVALID_HANDLE",
                win32_name: "ERROR_INVALID_HANDLE",
                message: "the notification handle is unknown or was cancelled already",
                next_step: "cancel each handle from NotifyTeredoPortChange exactly once",
            },
            Self::InsufficientResources => Row {
                ntstatus: 0xC000_009A,
                win32: 8,
                ntstatus_name: "STATUS_INSUFFICIENT_RESOURCES",
                win32_name: "ERROR_NOT_ENOUGH_MEMORY",
                message: "no memory or thread is left for another registration, or their limit is reached",
                next_step: "cancel registrations that are not needed any more",
            },
            Self::DeviceNotReady => Row {
                ntstatus: 0xC000_00A3,
                win32: 21,
                ntstatus_name: "STATUS_DEVICE_NOT_READY",
                win32_name: "ERROR_NOT_READY",
                message: "the Teredo client has not started, or has no port at present",
                next_step: "start the client, or wait for MibAddInstance; \"teredo status\" tells why it has no port",
            },
            Self::NotSupported => Row {
                ntstatus: 0xC000_00BB,
                win32: 50,
                ntstatus_name: "STATUS_NOT_SUPPORTED",
                win32_name: "ERROR_NOT_SUPPORTED",
                message: "this host has no IPv6, and Teredo cannot work without it",
                next_step: "do not boot with ipv6.disable=1, and load the module ipv6 if the kernel has it as one",
            },
        }
    }

    /// The number for drivers.
    #[must_use]
    pub const fn ntstatus(self) -> u32 {
        self.row().ntstatus
    }

    /// The number for programs.
    #[must_use]
    pub const fn win32(self) -> u32 {
        self.row().win32
    }

    /// The name of [`Code::ntstatus`].
    #[must_use]
    pub const fn ntstatus_name(self) -> &'static str {
        self.row().ntstatus_name
    }

    /// The name of [`Code::win32`].
    #[must_use]
    pub const fn win32_name(self) -> &'static str {
        self.row().win32_name
    }

    /// The message, as FormatMessage gives one on Windows.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().message
    }

    /// The remedy.
    #[must_use]
    pub const fn next_step(self) -> &'static str {
        self.row().next_step
    }

    /// The code with this number in either flavour. No number means one code here and another there.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| code.ntstatus() == number || code.win32() == number)
    }

    /// The code that a user has typed: `STATUS_DEVICE_NOT_READY`, `error_not_ready`, `21`, `0xC00000A3`, or
    /// `-1073741661`, which is the same number as debuggers print it.
    ///
    /// ```
    /// use teredo_notify::code::Code;
    ///
    /// assert_eq!(Code::parse("0xc00000a3"), Some(Code::DeviceNotReady));
    /// assert_eq!(Code::parse("-1073741661"), Some(Code::DeviceNotReady));
    /// assert_eq!(Code::parse("ERROR_SUCCESS"), Some(Code::Success));
    /// assert_eq!(Code::parse("22"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(number) = parse_number(text) {
            return Self::from_number(number);
        }
        if text.eq_ignore_ascii_case("ERROR_SUCCESS") {
            return Some(Self::Success);
        }
        Self::ALL.into_iter().find(|code| {
            text.eq_ignore_ascii_case(code.ntstatus_name())
                || text.eq_ignore_ascii_case(code.win32_name())
        })
    }
}

fn parse_number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(digits, 16).ok();
    }
    text.parse::<u32>()
        .ok()
        .or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

macro_rules! operation_error {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $code:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        #[error("{}", self.code())]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Its status code.
            #[must_use]
            pub const fn code(&self) -> Code {
                match self {
                    $(Self::$variant => Code::$code,)+
                }
            }

            /// The number for drivers.
            #[must_use]
            pub const fn ntstatus(&self) -> u32 {
                self.code().ntstatus()
            }

            /// The number for programs.
            #[must_use]
            pub const fn win32(&self) -> u32 {
                self.code().win32()
            }
        }
    };
}

operation_error! {
    /// Why `NotifyTeredoPortChange` has failed.
    NotifyError {
        /// The callback or the pointer for the handle is NULL. Cannot happen in Rust.
        InvalidParameter => InvalidParameter,
        /// An internal handle is invalid. Windows documents it; it does not happen here.
        InvalidHandle => InvalidHandle,
        /// No memory or thread is left, or the limit of registrations is reached.
        InsufficientResources => InsufficientResources,
    }
}

operation_error! {
    /// Why `GetTeredoPort` has failed.
    GetPortError {
        /// The pointer for the port is NULL. Cannot happen in Rust.
        InvalidParameter => InvalidParameter,
        /// The client has not started, or has no port.
        NotReady => DeviceNotReady,
        /// The host has no IPv6.
        NotSupported => NotSupported,
    }
}

operation_error! {
    /// Why `CancelMibChangeNotify2` has failed.
    CancelError {
        /// The handle is NULL.
        InvalidParameter => InvalidParameter,
        /// The handle is unknown or was cancelled before.
        InvalidHandle => InvalidHandle,
    }
}

impl From<RegisterError> for NotifyError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Limit(_) | RegisterError::Thread(_) => Self::InsufficientResources,
        }
    }
}

#[cfg(test)]
mod tests;
