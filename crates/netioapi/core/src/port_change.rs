//! `NotifyTeredoPortChange`, `GetTeredoPort`, `CancelMibChangeNotify2`.

use std::ffi::c_void;

use teredo_notify::Notification;
use teredo_notify::code::Code;
use teredo_notify::mib::callback_arguments;

use crate::process::{self, Api, Handle};
use crate::{Flavour, status};

/// `PTEREDO_PORT_CHANGE_CALLBACK`: the caller's context, the port, and the `MIB_NOTIFICATION_TYPE`.
///
/// A C++ exception that leaves it ends the process.
pub type PortChangeCallback =
    unsafe extern "C-unwind" fn(context: *mut c_void, port: u16, kind: u32);

/// See NotifyTeredoPortChange(3).
///
/// # Safety
/// `handle` is NULL or can be written to. `callback` is such a function, which may be called with `context` on
/// other threads until the handle has been cancelled.
pub unsafe fn notify_teredo_port_change<F: Flavour>(
    callback: Option<PortChangeCallback>,
    context: *mut c_void,
    initial: u8,
    handle: *mut *mut c_void,
) -> F::Status {
    status::<F>(|| {
        // SAFETY: the caller promises it.
        let place = unsafe { handle.as_mut() }.ok_or(Code::InvalidParameter)?;
        *place = std::ptr::null_mut();
        let callback = callback.ok_or(Code::InvalidParameter)?;
        let context = Context::new(context);
        let call = move |notification: Notification| {
            let (port, kind) = callback_arguments(notification);
            // SAFETY: the caller promises it, until the handle is cancelled; and then none of this runs.
            unsafe { callback(context.get(), port, kind as u32) }
        };
        process::register::<F>(Api::PortChange, initial != 0, place, call)
    })
}

/// See GetTeredoPort(3).
///
/// # Safety
/// `port` is NULL or can be written to.
pub unsafe fn get_teredo_port<F: Flavour>(port: *mut u16) -> F::Status {
    status::<F>(|| {
        // SAFETY: the caller promises it.
        let place = unsafe { port.as_mut() }.ok_or(Code::InvalidParameter)?;
        *place = process::watcher()?
            .get_port()
            .map_err(|error| error.code())?;
        Ok(())
    })
}

/// See TeredoSetGating(3).
pub fn set_gating(gating: u8) {
    process::set_gating(gating != 0);
}

/// See CancelMibChangeNotify2(3). It accepts any value and refuses invalid handles.
pub fn cancel_mib_change_notify2<F: Flavour>(handle: *mut c_void) -> F::Status {
    status::<F>(|| {
        if handle.is_null() {
            return Err(Code::InvalidParameter);
        }
        let handle = Handle::of::<F>(handle, Api::PortChange).ok_or(Code::InvalidHandle)?;
        process::cancel(handle)
    })
}

/// The caller's context (N-04). It is never dereferenced here.
#[derive(Clone, Copy)]
pub(crate) struct Context(*mut c_void);

// SAFETY: it is a number here. The caller promises that the callback may be called with it on other threads.
unsafe impl Send for Context {}

impl Context {
    pub(crate) fn new(context: *mut c_void) -> Self {
        Self(context)
    }

    pub(crate) fn get(self) -> *mut c_void {
        self.0
    }
}
