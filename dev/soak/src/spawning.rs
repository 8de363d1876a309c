//! Who may start a program when.
//!
//! The supervisor hands descriptors to a client by letting it inherit them. While they can be inherited, no other program
//! may start, or it would keep an interface alive that has to go.

use std::sync::{PoisonError, RwLock};

static GATE: RwLock<()> = RwLock::new(());

/// Starts a program that inherits nothing.
pub(crate) fn ordinary<T>(start: impl FnOnce() -> T) -> T {
    let _gate = GATE.read().unwrap_or_else(PoisonError::into_inner);
    start()
}

/// Starts a program that inherits descriptors, while no other program starts.
pub(crate) fn alone<T>(start: impl FnOnce() -> T) -> T {
    let _gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
    start()
}
