//! The router's mapping in a file of the state folder, so that the next process takes it back after a kill -9.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use teredo_gateway::{Mapping, MappingStore};

use super::memory::{LONGEST, machine, replace, state_folder};

const SCHEMA: &str = "teredo.mapping/1";

/// The file of one client; without a state folder, the mapping ends by itself when its lifetime is over.
#[derive(Debug)]
pub(super) struct MappingFile {
    path: Option<PathBuf>,
    /// Whether the last attempt to write failed; that is said once.
    failed: bool,
}

/// The contents.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    schema: String,
    machine: String,
    mapping: Mapping,
}

impl MappingFile {
    /// The file for the client on this interface.
    pub(super) fn new(interface: &str) -> Self {
        Self::at(state_folder().map(|folder| folder.join(format!("mapping-{interface}.json"))))
    }

    fn at(path: Option<PathBuf>) -> Self {
        let failed = false;
        Self { path, failed }
    }

    fn read(&self) -> io::Result<Mapping> {
        let path = self.path.as_ref().ok_or(ErrorKind::NotFound)?;
        let written: Written = serde_json::from_slice(&crate::file::read(path, LONGEST)?)?;
        if written.schema != SCHEMA || written.machine != machine() {
            let fault = "it is of another version or machine";
            return Err(io::Error::new(ErrorKind::InvalidData, fault));
        }
        Ok(written.mapping)
    }
}

impl MappingStore for MappingFile {
    fn load(&mut self) -> Option<Mapping> {
        match self.read() {
            Ok(mapping) => Some(mapping),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::info!(%error, "the mapping of the client before is not known");
                None
            }
        }
    }

    fn save(&mut self, mapping: &Mapping) {
        let Some(path) = &self.path else {
            return;
        };
        let written = Written {
            schema: SCHEMA.to_owned(),
            machine: machine(),
            mapping: *mapping,
        };
        match replace(path, &written) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                let file = path.display();
                tracing::warn!(%error, %file, "the router's mapping is not saved: after a kill -9 it lasts until it expires");
            }
            Err(_) => {}
        }
    }

    fn clear(&mut self) {
        let removed = self.path.as_ref().map(fs::remove_file);
        if let Some(Err(error)) = removed
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(%error, "the file of the router's mapping stays");
        }
    }
}

#[cfg(test)]
mod tests;
