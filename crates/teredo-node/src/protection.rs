//! The firewall of the tunnel's inside, which a node needs and does not bring.

use std::error::Error;
use std::fmt::Debug;

/// Closes the inside of a tunnel to what is unsolicited.
pub trait Protection: Debug + Send + Sync {
    /// Closes the inside of the interface. Called before the interface is up; a node that gets an error does not start.
    ///
    /// # Errors
    /// Why the inside stays open.
    fn close(&self, interface: &str) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Whether the kernel drops what is unsolicited from the interface now; none if it cannot be asked.
    fn is_closed(&self, interface: &str) -> Option<bool>;
}
