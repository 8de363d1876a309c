//! A process that ends with its owner.

use std::process::{Child, Command};

use anyhow::{Context as _, Result};

/// A process that was started here; it is ended and waited for when this is dropped.
#[derive(Debug)]
pub(crate) struct Owned(Child);

impl Owned {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self(child))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing left of it afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
