//! `FwpmSystemPortsGet0` and its kin: every callback gets the whole current state, so a missed event does no harm
//! (N-19). Of Windows' types of ports only Teredo's exists here.
//!
//! The engine handle of Windows' functions names a session with the filter engine. Sessions have no effect here: the
//! functions of ports accept any value.

use std::ffi::c_void;

use teredo_notify::Notification;
use teredo_notify::code::Code;

use crate::port_change::Context;
use crate::process::{self, Api, Handle};
use crate::{Flavour, status};

/// `FWPM_SYSTEM_PORT_TEREDO`
const TEREDO: u32 = 1;

/// `FWPM_SYSTEM_PORTS0`
#[derive(Debug)]
#[repr(C)]
pub struct SystemPorts {
    types_count: u32,
    types: *const PortsByType,
}

/// `FWPM_SYSTEM_PORTS_BY_TYPE0`
#[derive(Debug)]
#[repr(C)]
pub struct PortsByType {
    kind: u32,
    ports_count: u32,
    ports: *const u16,
}

/// `FWPM_SYSTEM_PORTS_CALLBACK0`: the caller's context, and the state, which ends with the call.
///
/// A C++ exception that leaves it ends the process.
pub type SystemPortsCallback =
    unsafe extern "C-unwind" fn(context: *mut c_void, ports: *const SystemPorts);

/// A state in one piece. It points to itself, and so must not be moved once it is [written](Block::write).
#[repr(C)]
struct Block {
    ports: SystemPorts,
    by_type: PortsByType,
    port: u16,
}

impl Block {
    /// Writes the state of a Teredo client with this port; 0: none.
    ///
    /// # Safety
    /// `place` can be written to, and is aligned.
    unsafe fn write(place: *mut Self, port: u16) {
        // SAFETY: the caller promises it; the addresses of fields are within the place.
        unsafe {
            let by_type = PortsByType {
                kind: TEREDO,
                ports_count: u32::from(port != 0),
                ports: if port == 0 {
                    std::ptr::null()
                } else {
                    &raw const (*place).port
                },
            };
            let ports = SystemPorts {
                types_count: 1,
                types: &raw const (*place).by_type,
            };
            place.write(Self {
                ports,
                by_type,
                port,
            });
        }
    }
}

/// See FwpmSystemPortsGet0(3).
///
/// # Safety
/// `ports` is NULL or can be written to.
pub unsafe fn system_ports_get<F: Flavour>(ports: *mut *mut SystemPorts) -> F::Status {
    status::<F>(|| {
        // SAFETY: the caller promises it.
        let place = unsafe { ports.as_mut() }.ok_or(Code::InvalidParameter)?;
        *place = std::ptr::null_mut();
        // No port is a state like any other.
        let port = process::watcher()?.get_port().unwrap_or_default();
        // SAFETY: malloc has no conditions.
        let block = unsafe { libc::malloc(size_of::<Block>()) }.cast::<Block>();
        if block.is_null() {
            return Err(Code::InsufficientResources);
        }
        // SAFETY: it is malloc's, so it is large enough and aligned for everything.
        unsafe { Block::write(block, port) };
        *place = block.cast();
        Ok(())
    })
}

/// See FwpmFreeMemory0(3).
///
/// # Safety
/// `memory` is NULL, or points to what is NULL or came from [`system_ports_get`] and was not freed yet.
pub unsafe fn free_memory(memory: *mut *mut c_void) {
    // SAFETY: the caller promises it; what system_ports_get hands out is malloc's, and free takes NULL.
    unsafe {
        if let Some(memory) = memory.as_mut() {
            libc::free(*memory);
            *memory = std::ptr::null_mut();
        }
    }
}

/// See FwpmSystemPortsSubscribe0(3).
///
/// # Safety
/// `handle` is NULL or can be written to. `callback` is such a function, which may be called with `context` on
/// other threads until the handle has been given to [`system_ports_unsubscribe`].
pub unsafe fn system_ports_subscribe<F: Flavour>(
    reserved: *mut c_void,
    callback: Option<SystemPortsCallback>,
    context: *mut c_void,
    handle: *mut *mut c_void,
) -> F::Status {
    status::<F>(|| {
        // SAFETY: the caller promises it.
        let place = unsafe { handle.as_mut() }.ok_or(Code::InvalidParameter)?;
        *place = std::ptr::null_mut();
        let callback = callback.ok_or(Code::InvalidParameter)?;
        if !reserved.is_null() {
            return Err(Code::InvalidParameter);
        }
        let context = Context::new(context);
        let call = move |notification: Notification| {
            let mut block = std::mem::MaybeUninit::<Block>::uninit();
            // SAFETY: the block is ours, and stays where it is until the callback has returned.
            unsafe { Block::write(block.as_mut_ptr(), notification.state.port) };
            // SAFETY: the caller promises it, until the handle is given back; and then none of this runs.
            unsafe { callback(context.get(), block.as_ptr().cast()) }
        };
        process::register::<F>(Api::SystemPorts, false, place, call)
    })
}

/// See FwpmSystemPortsUnsubscribe0(3). An invalid handle is no error, as on Windows.
pub fn system_ports_unsubscribe<F: Flavour>(handle: *mut c_void) -> F::Status {
    status::<F>(|| {
        if let Some(handle) = Handle::of::<F>(handle, Api::SystemPorts) {
            // It fails only if there is no such subscription.
            let _ = process::cancel(handle);
        }
        Ok(())
    })
}

/// The most engine handles that are open. Windows has a session a process, or few: more than this is a leak.
const MAX_ENGINES: usize = 65_536;

/// See FwpmEngineOpen0(3).
///
/// # Safety
/// `engine` is NULL or can be written to.
pub unsafe fn engine_open<F: Flavour>(server: *const u16, engine: *mut *mut c_void) -> F::Status {
    status::<F>(|| {
        // SAFETY: the caller promises it.
        let place = unsafe { engine.as_mut() }.ok_or(Code::InvalidParameter)?;
        *place = std::ptr::null_mut();
        if !server.is_null() {
            return Err(Code::InvalidParameter);
        }
        let mut engines = process::engines()?;
        if engines.len() >= MAX_ENGINES {
            return Err(Code::InsufficientResources);
        }
        let handle = Handle::next::<F>(Api::SystemPorts).ok_or(Code::InsufficientResources)?;
        *place = handle.as_pointer();
        engines.insert(place.addr());
        Ok(())
    })
}

/// See FwpmEngineClose0(3). Any value may be given: one that is no open session is refused.
pub fn engine_close<F: Flavour>(engine: *mut c_void) -> F::Status {
    status::<F>(|| {
        let mut engines = process::engines()?;
        if engine.is_null() {
            Err(Code::InvalidParameter)
        } else if engines.remove(&engine.addr()) {
            Ok(())
        } else {
            Err(Code::InvalidHandle)
        }
    })
}
