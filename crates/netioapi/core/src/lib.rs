//! The port notification functions for C under Windows' names, so that source for Windows compiles unchanged:
//! `NotifyTeredoPortChange`, `GetTeredoPort` and `CancelMibChangeNotify2`, and of the interface that succeeded them,
//! `FwpmSystemPortsGet0`, `FwpmSystemPortsSubscribe0`, `FwpmSystemPortsUnsubscribe0`, `FwpmFreeMemory0`,
//! `FwpmEngineOpen0` and `FwpmEngineClose0`.
//!
//! Windows has two versions of them under the same names, for drivers and for programs:
//!
//! | library | flavour | returns |
//! |---|---|---|
//! | `libteredo-netio` (crate `netioapi-netio`) | [`Driver`] | NTSTATUS |
//! | `libteredo-iphlpapi` (crate `netioapi-iphlpapi`) | [`Program`] | Win32 errors |
//!
//! This crate has all of the code, generic over the [`Flavour`]; the two others call [`export!`]. The headers are in
//! `include/`, the manual pages in `docs/man/`, and `cargo xtask install` installs all of it.
//!
//! ```text
//!  C ──> export! ── catch_unwind ──> port_change, system_ports ──> process: handles ──> teredo_notify::Watcher
//! ```
//!
//! Pointers from C must be NULL or valid. Handles need not be valid: they are numbers in a table, never dereferenced.

mod flavour;
mod message;
mod port_change;
mod process;
mod signals;
mod system_ports;

pub use flavour::{Driver, Flavour, Program};
pub use message::status_message;
pub use port_change::{
    PortChangeCallback, cancel_mib_change_notify2, get_teredo_port, notify_teredo_port_change,
    set_gating,
};
pub use system_ports::{
    PortsByType, SystemPorts, SystemPortsCallback, engine_close, engine_open, free_memory,
    system_ports_get, system_ports_subscribe, system_ports_unsubscribe,
};

use std::panic::{AssertUnwindSafe, catch_unwind};

use teredo_notify::code::Code;

/// Runs a function's body and returns its status. No panic reaches C: it becomes the internal error that Windows
/// documents.
fn status<F: Flavour>(body: impl FnOnce() -> Result<(), Code>) -> F::Status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Code::InvalidHandle));
    F::status(outcome.err().unwrap_or(Code::Success))
}

/// Defines the C functions of a flavour in the crate that calls it.
#[macro_export]
macro_rules! export {
    ($flavour:ty) => {
        use ::std::ffi::{c_char, c_void};

        /// NotifyTeredoPortChange(3)
        ///
        /// # Safety
        /// As [`netioapi::notify_teredo_port_change`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn NotifyTeredoPortChange(
            callback: ::std::option::Option<$crate::PortChangeCallback>,
            context: *mut c_void,
            initial: u8,
            handle: *mut *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            // SAFETY: the caller promises the same.
            unsafe {
                $crate::notify_teredo_port_change::<$flavour>(callback, context, initial, handle)
            }
        }

        /// GetTeredoPort(3)
        ///
        /// # Safety
        /// As [`netioapi::get_teredo_port`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn GetTeredoPort(
            port: *mut u16,
        ) -> <$flavour as $crate::Flavour>::Status {
            // SAFETY: the caller promises the same.
            unsafe { $crate::get_teredo_port::<$flavour>(port) }
        }

        /// CancelMibChangeNotify2(3)
        #[unsafe(no_mangle)]
        pub extern "C" fn CancelMibChangeNotify2(
            handle: *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            $crate::cancel_mib_change_notify2::<$flavour>(handle)
        }

        /// FwpmEngineOpen0(3)
        ///
        /// # Safety
        /// As [`netioapi::engine_open`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn FwpmEngineOpen0(
            server: *const u16,
            _authentication: u32,
            _identity: *mut c_void,
            _session: *const c_void,
            engine: *mut *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            // SAFETY: the caller promises the same.
            unsafe { $crate::engine_open::<$flavour>(server, engine) }
        }

        /// FwpmEngineClose0(3)
        #[unsafe(no_mangle)]
        pub extern "C" fn FwpmEngineClose0(
            engine: *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            $crate::engine_close::<$flavour>(engine)
        }

        /// TeredoSetGating(3)
        #[unsafe(no_mangle)]
        pub extern "C" fn TeredoSetGating(gating: u8) {
            $crate::set_gating(gating)
        }

        /// FwpmSystemPortsGet0(3)
        ///
        /// # Safety
        /// As [`netioapi::system_ports_get`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn FwpmSystemPortsGet0(
            _engine: *mut c_void,
            ports: *mut *mut $crate::SystemPorts,
        ) -> <$flavour as $crate::Flavour>::Status {
            // SAFETY: the caller promises the same.
            unsafe { $crate::system_ports_get::<$flavour>(ports) }
        }

        /// FwpmSystemPortsSubscribe0(3)
        ///
        /// # Safety
        /// As [`netioapi::system_ports_subscribe`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn FwpmSystemPortsSubscribe0(
            _engine: *mut c_void,
            reserved: *mut c_void,
            callback: ::std::option::Option<$crate::SystemPortsCallback>,
            context: *mut c_void,
            handle: *mut *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            // SAFETY: the caller promises the same.
            unsafe {
                $crate::system_ports_subscribe::<$flavour>(reserved, callback, context, handle)
            }
        }

        /// FwpmSystemPortsUnsubscribe0(3)
        #[unsafe(no_mangle)]
        pub extern "C" fn FwpmSystemPortsUnsubscribe0(
            _engine: *mut c_void,
            handle: *mut c_void,
        ) -> <$flavour as $crate::Flavour>::Status {
            $crate::system_ports_unsubscribe::<$flavour>(handle)
        }

        /// FwpmFreeMemory0(3)
        ///
        /// # Safety
        /// As [`netioapi::free_memory`].
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn FwpmFreeMemory0(memory: *mut *mut c_void) {
            // SAFETY: the caller promises the same.
            unsafe { $crate::free_memory(memory) }
        }

        /// TeredoStatusMessage(3)
        #[unsafe(no_mangle)]
        pub extern "C" fn TeredoStatusMessage(
            status: <$flavour as $crate::Flavour>::Status,
        ) -> *const c_char {
            $crate::status_message::<$flavour>(status).as_ptr()
        }
    };
}

#[cfg(test)]
mod tests;
