//! The files of a configuration, and what they say together.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::document::{Document, Entry};
use super::{Config, MAX_FILE, Mistake, Mistakes, Places};
use crate::args::DEFAULT_CONFIG;
use crate::file;

/// A main file and its drop-ins.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The files that were read, in this order.
    pub(super) files: Vec<PathBuf>,
    /// Whether there is a main file. Without the default file, the defaults apply.
    pub(super) has_main: bool,
    /// The settings of the files, as far as they are valid.
    pub(super) config: Config,
    pub(super) mistakes: Mistakes,
}

impl Layers {
    /// Reads the file of `--config`, or the default file if it exists, and its drop-ins.
    pub(super) fn read(chosen: Option<&Path>) -> Self {
        let main = chosen.unwrap_or_else(|| Path::new(DEFAULT_CONFIG));
        let mut layers = Self {
            files: Vec::new(),
            has_main: true,
            config: Config::default(),
            mistakes: Mistakes::of(chosen),
        };
        let mut entries = Vec::new();
        match file::read(main, MAX_FILE) {
            Err(error) if chosen.is_none() && error.kind() == io::ErrorKind::NotFound => {
                layers.has_main = false;
            }
            contents => layers.add(main, contents, &mut entries),
        }
        let mut folder = OsString::from(main);
        folder.push(".d");
        let folder = PathBuf::from(folder);
        match drop_ins(&folder) {
            Ok(paths) => {
                for path in paths {
                    layers.add(&path, file::read(&path, MAX_FILE), &mut entries);
                }
            }
            Err(error) => layers.mistakes.extend([Mistake::Read {
                path: folder,
                error,
            }]),
        }
        layers.config = together(entries);
        layers.mistakes.sort(&layers.files);
        layers
    }

    fn add(&mut self, path: &Path, contents: io::Result<Vec<u8>>, entries: &mut Vec<Entry>) {
        self.files.push(path.to_owned());
        match contents {
            Ok(bytes) => {
                let document = Document::parse(path, &bytes);
                entries.extend(document.entries);
                self.mistakes.extend(document.mistakes);
            }
            Err(error) => self.mistakes.extend([Mistake::Read {
                path: path.to_owned(),
                error,
            }]),
        }
    }
}

/// A later entry replaces an earlier one with the same key.
pub(super) fn together(entries: Vec<Entry>) -> Config {
    let mut root = toml::Table::new();
    let mut places = Vec::new();
    for entry in entries {
        let Entry {
            section,
            key,
            value,
            place,
        } = entry;
        let keys = root
            .entry(section.clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(keys) = keys {
            keys.insert(key.clone(), value);
        }
        places.push((section, key, place));
    }
    // Each entry is valid by itself, and nothing in a section depends on another key.
    let mut config = Config::deserialize(root).unwrap_or_default();
    for (section, key, place) in places {
        if let Some(places) = config.places_of(&section) {
            places.insert(key, place);
        }
    }
    config
}

impl Config {
    fn places_of(&mut self, section: &str) -> Option<&mut Places> {
        Some(match section {
            "client" => &mut self.client.places,
            "server" => &mut self.server.places,
            "relay" => &mut self.relay.places,
            "firewall" => &mut self.firewall.places,
            _ => return None,
        })
    }
}

/// The files in a folder that end in `.toml`, sorted by name; none if there is no such folder.
pub(crate) fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_toml = path.extension().is_some_and(|end| end == "toml");
        // Editors put their locks and copies beside the files, under hidden names.
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_toml && !is_hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
