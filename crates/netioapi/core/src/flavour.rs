//! The difference between the library for drivers and the one for programs.

use teredo_notify::code::Code;

/// The family of Windows' codes that the functions return.
pub trait Flavour {
    /// `NETIO_STATUS`
    type Status: Copy;

    /// A bit of this flavour's handles, so that the other library refuses them.
    const MARK: bool;

    /// A code in this flavour.
    fn status(code: Code) -> Self::Status;

    /// The number behind a status.
    fn number(status: Self::Status) -> u32;
}

/// For drivers: NTSTATUS.
#[derive(Debug, Clone, Copy)]
pub enum Driver {}

/// For programs: Win32 errors.
#[derive(Debug, Clone, Copy)]
pub enum Program {}

impl Flavour for Driver {
    type Status = i32;
    const MARK: bool = false;

    fn status(code: Code) -> i32 {
        code.ntstatus().cast_signed()
    }

    fn number(status: i32) -> u32 {
        status.cast_unsigned()
    }
}

impl Flavour for Program {
    type Status = u32;
    const MARK: bool = true;

    fn status(code: Code) -> u32 {
        code.win32()
    }

    fn number(status: u32) -> u32 {
        status
    }
}
