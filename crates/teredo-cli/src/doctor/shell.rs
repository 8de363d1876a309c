//! Commands that work as they are typed.

use super::seen::{Process, Seen, Unit, Units, short};
use crate::text::is_unseen;

/// One word for a shell. What a terminal would obey or hide is written as bash reads it (`$'\x1b'`).
pub(crate) fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else if word.chars().any(is_unseen) {
        format!("$'{}'", word.chars().map(escaped).collect::<String>())
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A character as it stands between `$'` and `'`.
fn escaped(c: char) -> String {
    match c {
        '\'' | '\\' => format!("\\{c}"),
        c if is_unseen(c) => {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).bytes();
            bytes.map(|byte| format!("\\{byte:03o}")).collect()
        }
        c => c.to_string(),
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

    /// The next step: the doctor as root, which sees more, or `otherwise` if this is root.
    pub(crate) fn as_root(&self, otherwise: &str) -> String {
        if self.root {
            otherwise.to_owned()
        } else {
            format!("sudo {}", self.teredo("doctor"))
        }
    }

    /// Whether a program that a mend may name is here.
    pub(crate) fn has_tool(&self, tool: &str) -> bool {
        self.host.tools.iter().any(|found| found == tool)
    }

    /// Sets keys of sysctl. In a container, whose /proc/sys may not be written, the command that starts it does so.
    pub(crate) fn sysctl(&self, keys: &[(&str, &str)]) -> String {
        let set = |(key, value): &(&str, &str)| quote(&format!("{key}={value}"));
        if self.host.sysctl_is_fixed {
            let options = keys.iter().map(|one| format!("--sysctl {}", set(one)));
            let options: Vec<_> = options.collect();
            return format!("# start the container with {}", options.join(" "));
        }
        let lines = keys.iter().map(|one| format!("sysctl -w {}", set(one)));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether systemd has this unit.
    pub(crate) fn has_unit(&self, name: &str) -> bool {
        self.unit(name).is_some()
    }

    /// The service of this name, as systemd has it.
    pub(crate) fn unit(&self, name: &str) -> Option<&Unit> {
        let Units::Known(units) = &self.units else {
            return None;
        };
        let named = |unit: &&Unit| unit.name.strip_suffix(".service") == Some(name);
        units.iter().find(named)
    }

    /// The unit of a daemon. That of a client is the instance whose socket was asked.
    pub(crate) fn unit_of(&self, daemon: &str) -> String {
        let instance = self.instance().filter(|_| daemon == "client");
        let instance = instance.map(|name| format!("teredo-client@{name}"));
        instance
            .filter(|name| self.has_unit(name))
            .unwrap_or_else(|| format!("teredo-{daemon}"))
    }

    /// Starts a daemon, by its unit if there is one.
    pub(crate) fn start(&self, daemon: &str, otherwise: &str) -> String {
        let unit = self.unit_of(daemon);
        match self.unit(&unit) {
            Some(found) if found.is_masked() => {
                format!(
                    "systemctl unmask {unit}\nsystemctl enable --now {unit}",
                    unit = quote(&unit)
                )
            }
            Some(_) => format!("systemctl enable --now {}", quote(&unit)),
            None => self.teredo(otherwise),
        }
    }

    /// Starts a daemon that runs again, by its unit if there is one, or else as it was started.
    pub(crate) fn restart(&self, daemon: &str) -> String {
        let unit = self.unit_of(daemon);
        let is_node = daemon != "firewall";
        let running = self.running(daemon);
        let running: Vec<_> = running
            .filter(|process| !is_node || self.is_asked(process))
            .collect();
        let by_unit = |unit: &str| format!("systemctl restart {}", quote(short(unit)));
        match running.as_slice() {
            [process, ..] if process.unit.is_some() => {
                by_unit(process.unit.as_deref().unwrap_or_default())
            }
            [process] if self.has_unit(&unit) => {
                format!("{}\n{}", end(process), by_unit(&unit))
            }
            [process] => again(process),
            [] if !self.has_unit(&unit) => self.teredo(daemon),
            _ => by_unit(&unit),
        }
    }

    /// Lets a process that was stopped by a signal go on.
    pub(crate) fn resume(&self, process: &Process) -> String {
        match &process.unit {
            Some(unit) => format!("systemctl kill --signal=CONT {}", quote(unit)),
            None => format!("kill -CONT {}", process.pid),
        }
    }

    /// Sets a key in a drop-in file of its own, after those of the administrator.
    pub(crate) fn set(&self, section: &str, key: &str, value: &str) -> String {
        let chosen = self.settings.chosen.as_ref().filter(|path| path.is_file());
        let main = chosen.map_or_else(
            || crate::args::DEFAULT_CONFIG.to_owned(),
            |path| path.display().to_string(),
        );
        let folder = format!("{main}.d");
        // The units' users read it under any umask of the administrator.
        format!(
            "install -d -m 755 {}\n{}",
            quote(&folder),
            write(
                &format!("{folder}/zz-doctor-{key}.toml"),
                &[&format!("[{section}]"), &format!("{key} = {value}")],
            )
        )
    }
}

/// Writes lines into a file that every user may read.
pub(crate) fn write(file: &str, lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| quote(line)).collect();
    let file = quote(file);
    format!(
        "printf '%s\\n' {} > {file}\nchmod 644 {file}",
        lines.join(" ")
    )
}

/// The key of an interface for sysctl(8), in which a dot of its name is a slash.
pub(crate) fn sysctl_of_link(family: &str, link: &str, key: &str) -> String {
    format!("net.{family}.conf.{}.{key}", link.replace('.', "/"))
}

fn end(process: &Process) -> String {
    // A stopped process ends only when it goes on.
    let end = if process.stopped {
        "kill -KILL"
    } else {
        "kill"
    };
    format!("{end} {}", process.pid)
}

/// Ends a process and starts it with the same arguments.
fn again(process: &Process) -> String {
    let words: Vec<_> = process.arguments.iter().map(|word| quote(word)).collect();
    format!("{}\n{} &", end(process), words.join(" "))
}

#[cfg(test)]
mod tests;
