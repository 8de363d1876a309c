//! Other ways to tell many processes of something.

pub(crate) mod dbus;
pub(crate) mod nats;
pub(crate) mod socket;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::process::Owned;

/// Waits until `ready` gives something, as long as the server runs.
fn await_server<T>(
    name: &str,
    server: &mut Owned,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(ready) = ready() {
            return Ok(ready);
        }
        if let Some(status) = server.child().try_wait()? {
            anyhow::bail!("{name} has ended: {status}");
        }
        ensure!(Instant::now() < deadline, "{name} did not start in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The error for a program that is not there names the package that has it.
fn require(program: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin"].map(Path::new);
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        || system.iter().any(|folder| folder.join(program).is_file());
    ensure!(
        found,
        "{program} is missing: install Debian's package {package}"
    );
    Ok(())
}
