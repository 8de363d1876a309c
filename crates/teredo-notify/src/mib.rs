//! The notification functions under Windows' names: `NotifyTeredoPortChange`, `GetTeredoPort` and
//! `CancelMibChangeNotify2`.
//!
//! Handles are numbers, as on Windows: they can be copied, stored anywhere and cancelled by any code. New programs
//! should use [`Watcher`], whose registrations end when they are dropped and whose notifications carry the whole state.
//!
//! ```no_run
//! use teredo_notify::mib::{
//!     cancel_mib_change_notify2, get_teredo_port, notify_teredo_port_change,
//! };
//!
//! let handle = notify_teredo_port_change(|port, kind| println!("{kind:?}: {port}"), true)?;
//! println!("the port is {:?}", get_teredo_port());
//! cancel_mib_change_notify2(handle)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::code::{CancelError, GetPortError, NotifyError};
use crate::watcher::{WatchRegistration, Watcher};
use crate::{Kind, Notification};

/// `MIB_NOTIFICATION_TYPE`, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MibNotificationType {
    /// `MibParameterNotification`: the port has changed.
    ParameterNotification = 0,
    /// `MibAddInstance`: the client uses a port where it had none.
    AddInstance = 1,
    /// `MibDeleteInstance`: the client has no port any more.
    DeleteInstance = 2,
    /// `MibInitialNotification`: the registration is in force.
    InitialNotification = 3,
}

impl From<Kind> for MibNotificationType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Initial => Self::InitialNotification,
            Kind::Add => Self::AddInstance,
            Kind::Change => Self::ParameterNotification,
            Kind::Delete => Self::DeleteInstance,
        }
    }
}

/// `MIB_INVALID_TEREDO_PORT_NUMBER`: no port.
pub const MIB_INVALID_TEREDO_PORT_NUMBER: u16 = 0;

/// The arguments of a callback of these functions: the port in host byte order (N-10), and the type.
///
/// The initial notification has port 0, whatever the port is (N-02).
#[must_use]
pub fn callback_arguments(notification: Notification) -> (u16, MibNotificationType) {
    let port = match notification.kind {
        Kind::Initial => MIB_INVALID_TEREDO_PORT_NUMBER,
        Kind::Add | Kind::Change | Kind::Delete => notification.state.port,
    };
    (port, notification.kind.into())
}

/// The handle of a registration. To drop it does not end the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotificationHandle(NonZeroU64);

impl NotificationHandle {
    /// The number, for foreign code.
    #[must_use]
    pub fn into_raw(self) -> NonZeroU64 {
        self.0
    }

    /// The handle with this number. Any number is allowed: [`cancel_mib_change_notify2`] refuses those that are no
    /// handles.
    #[must_use]
    pub fn from_raw(number: NonZeroU64) -> Self {
        Self(number)
    }
}

/// The three functions for one watcher. The free functions use the default watcher of the process.
#[derive(Debug)]
pub struct PortNotifications {
    watcher: Watcher,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    registrations: HashMap<NotificationHandle, WatchRegistration>,
}

impl PortNotifications {
    /// The functions for this watcher.
    #[must_use]
    pub fn new(watcher: Watcher) -> Self {
        Self {
            watcher,
            table: Mutex::default(),
        }
    }

    /// See [`notify_teredo_port_change`].
    ///
    /// # Errors
    /// [`NotifyError::InsufficientResources`]
    pub fn notify_teredo_port_change(
        &self,
        mut callback: impl FnMut(u16, MibNotificationType) + Send + 'static,
        initial_notification: bool,
    ) -> Result<NotificationHandle, NotifyError> {
        let registration = self
            .watcher
            .register(initial_notification, move |notification| {
                let (port, kind) = callback_arguments(notification);
                callback(port, kind);
            })?;
        let mut table = self.table();
        table.last += 1;
        let handle = NonZeroU64::new(table.last).map(NotificationHandle);
        let handle = handle.ok_or(NotifyError::InsufficientResources)?;
        table.registrations.insert(handle, registration);
        Ok(handle)
    }

    /// See [`get_teredo_port`].
    ///
    /// # Errors
    /// [`GetPortError::NotReady`], [`GetPortError::NotSupported`]
    pub fn get_teredo_port(&self) -> Result<u16, GetPortError> {
        self.watcher.get_port()
    }

    /// See [`cancel_mib_change_notify2`].
    ///
    /// # Errors
    /// [`CancelError::InvalidHandle`]
    pub fn cancel_mib_change_notify2(&self, handle: NotificationHandle) -> Result<(), CancelError> {
        let registration = self.table().registrations.remove(&handle);
        // The table is unlocked here: a callback that this waits for may cancel too.
        registration.map(drop).ok_or(CancelError::InvalidHandle)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static DEFAULT: LazyLock<PortNotifications> =
    LazyLock::new(|| PortNotifications::new(Watcher::default()));

/// `NotifyTeredoPortChange`: calls `callback` with each change of the port, on another thread, one invocation at a
/// time, in order, until the handle is cancelled or the process ends (N-05).
///
/// With `initial_notification`, one call with port 0 and
/// [`InitialNotification`](MibNotificationType::InitialNotification) comes before any change. The captures of the
/// closure replace the caller's context of Windows.
///
/// # Errors
/// [`NotifyError::InsufficientResources`]. It is no error if the client does not run.
pub fn notify_teredo_port_change(
    callback: impl FnMut(u16, MibNotificationType) + Send + 'static,
    initial_notification: bool,
) -> Result<NotificationHandle, NotifyError> {
    DEFAULT.notify_teredo_port_change(callback, initial_notification)
}

/// `GetTeredoPort`: the UDP port that the client uses now, in host byte order.
///
/// Register first and then ask, so that you miss no change.
///
/// # Errors
/// [`GetPortError::NotReady`] if the client has no port or does not run; [`GetPortError::NotSupported`] if the host has
/// no IPv6.
pub fn get_teredo_port() -> Result<u16, GetPortError> {
    DEFAULT.get_teredo_port()
}

/// `CancelMibChangeNotify2`: ends a registration. Blocks until a running invocation of its callback has returned; none
/// starts afterwards. In the callback itself it returns at once, and the running invocation is the last.
///
/// # Errors
/// [`CancelError::InvalidHandle`] if the handle is unknown or was cancelled before.
pub fn cancel_mib_change_notify2(handle: NotificationHandle) -> Result<(), CancelError> {
    DEFAULT.cancel_mib_change_notify2(handle)
}
