//! Says the port, and every change of it.

use teredo_notify::code::NotifyError;
use teredo_notify::watcher::Watcher;

fn main() -> Result<(), NotifyError> {
    let watcher = Watcher::default();
    for state in watcher.snapshots()? {
        match state.port {
            0 => println!("no port"),
            port => println!("port {port}"),
        }
    }
    Ok(())
}
