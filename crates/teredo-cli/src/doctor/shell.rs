//! Commands that work as they are typed.

use super::seen::{Process, Seen, Units};

/// One word for a shell.
pub(crate) fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl Seen {
    /// A command of this program for the socket and the settings in use.
    pub(crate) fn teredo(&self, command: &str) -> String {
        let mut text = String::from("teredo");
        if let Some(file) = &self.settings.chosen {
            text.push_str(&format!(" --config {}", quote(&file.display().to_string())));
        }
        if !self.service.socket_is_default {
            let socket = self.service.socket.display().to_string();
            text.push_str(&format!(" --socket {}", quote(&socket)));
        }
        format!("{text} {command}")
    }

    /// Whether systemd has this unit.
    pub(crate) fn has_unit(&self, name: &str) -> bool {
        let file = format!("{name}.service");
        matches!(&self.units, Units::Known(units) if units.iter().any(|unit| unit.name == file))
    }

    /// Starts a daemon, by its unit if there is one.
    pub(crate) fn start(&self, daemon: &str, otherwise: &str) -> String {
        let unit = format!("teredo-{daemon}");
        if self.has_unit(&unit) {
            format!("systemctl enable --now {unit}")
        } else {
            self.teredo(otherwise)
        }
    }

    /// Starts a daemon that runs again, as it was started.
    pub(crate) fn restart(&self, daemon: &str) -> String {
        let unit = format!("teredo-{daemon}");
        let running: Vec<_> = self.running(daemon).collect();
        match running.as_slice() {
            [process] if process.unit.is_none() => again(process),
            [process, ..] if process.unit.is_some() => {
                let unit = process.unit.as_deref().unwrap_or_default();
                format!(
                    "systemctl restart {}",
                    quote(unit.trim_end_matches(".service"))
                )
            }
            [] if !self.has_unit(&unit) => self.teredo(daemon),
            _ => format!("systemctl restart {unit}"),
        }
    }

    /// Writes a drop-in file of settings.
    pub(crate) fn set(&self, file: &str, section: &str, key: &str, value: &str) -> String {
        let chosen = self.settings.chosen.as_ref().filter(|path| path.is_file());
        let main = chosen.map_or_else(
            || crate::args::DEFAULT_CONFIG.to_owned(),
            |path| path.display().to_string(),
        );
        let folder = format!("{main}.d");
        let text = format!("[{section}]\\n{key} = {value}\\n");
        format!(
            "mkdir -p {}\nprintf {} > {}",
            quote(&folder),
            quote(&text),
            quote(&format!("{folder}/{file}.toml"))
        )
    }
}

/// Ends a process and starts it with the same arguments.
fn again(process: &Process) -> String {
    let words: Vec<_> = process.arguments.iter().map(|word| quote(word)).collect();
    // A stopped process ends only when it goes on.
    let end = if process.stopped {
        "kill -KILL"
    } else {
        "kill"
    };
    format!("{end} {}\n{} &", process.pid, words.join(" "))
}
