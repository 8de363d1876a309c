//! Files that the users of the units may not open, although root may.

use super::check::{Check, Id};
use super::seen::{Closed, FileKind, Seen};
use super::shell::{quote, write};

/// The check about files of these kinds, if one is closed.
pub(super) fn check(seen: &Seen, id: Id, kinds: &[FileKind]) -> Option<Check> {
    let mut found = seen.closed.iter().filter(|one| kinds.contains(&one.kind));
    let first = found.next()?;
    // A daemon that runs has read them, or lives without.
    let runs = |one: &Closed| {
        seen.unit(&one.unit)
            .is_some_and(|unit| unit.active == "active")
    };
    let all_run = runs(first) && found.all(runs);
    let at = first.at.display();
    let what = format!(
        "the unit {} cannot open {}: its user is {}, and {at} has the mode {:o} and belongs to {}",
        first.unit,
        first.file.display(),
        first.user,
        first.mode,
        first.owner
    );
    let check = if all_run {
        Check::warn(id, what)
    } else {
        Check::fail(id, what)
    };
    let why = match first.kind {
        FileKind::Settings => {
            "root may read it, so 'teredo config check' finds no mistake; the settings hold no secret, and every user may \
             read them"
        }
        FileKind::Secrets => {
            "root may read it, so 'teredo config check' finds no mistake; the group of the unit may read a file of root's"
        }
        FileKind::Tun => {
            "every user may open the device, and a process with CAP_NET_ADMIN alone can do something with it; the rule \
             of udev keeps the mode at the next start of this host"
        }
    };
    let later = if all_run {
        "; the daemon runs still, and the next start or reload fails"
    } else {
        ""
    };
    Some(check.why(format!("{why}{later}")).fix(mend(seen, kinds)))
}

/// Whether a file of the unit is closed, and the commands that open all of them.
pub(super) fn of_unit(seen: &Seen, unit: &str) -> Option<(String, String)> {
    let one = seen.closed.iter().find(|one| one.unit == unit)?;
    let kinds: &[FileKind] = match one.kind {
        FileKind::Tun => &[FileKind::Tun],
        _ => &[FileKind::Settings, FileKind::Secrets],
    };
    Some((
        format!("its user, {}, cannot open {}", one.user, one.file.display()),
        mend(seen, kinds),
    ))
}

fn mend(seen: &Seen, kinds: &[FileKind]) -> String {
    let found = seen.closed.iter().filter(|one| kinds.contains(&one.kind));
    let mut lines: Vec<String> = Vec::new();
    let mut add = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for one in found.clone() {
        open(seen, one).into_iter().for_each(&mut add);
    }
    for one in found {
        add(format!("systemctl restart {}", quote(&one.unit)));
    }
    lines.join("\n")
}

fn open(seen: &Seen, one: &Closed) -> Vec<String> {
    let at = quote(&one.at.display().to_string());
    if one.kind == FileKind::Tun && one.at == one.file {
        let rule = [r#"KERNEL=="tun", SUBSYSTEM=="misc", MODE="0666""#];
        return vec![
            format!("chmod 666 {at}"),
            write("/etc/udev/rules.d/90-teredo-tun.rules", &rule),
        ];
    }
    if one.at == one.file && one.kind == FileKind::Secrets {
        return vec![
            format!("chown {} {at}", quote(&format!("root:{}", one.group))),
            format!("chmod 640 {at}"),
        ];
    }
    let is_folder = one.at != one.file || one.file.extension().is_some_and(|end| end == "d");
    if is_folder && one.kind == FileKind::Secrets && !one.at.starts_with("/etc") {
        // A home is closed for a reason, and the sandbox of the unit hides it.
        let name = one.file.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("/etc/teredo/{name}");
        let section = one.unit.trim_start_matches("teredo-");
        let section = section.split('@').next().unwrap_or(section);
        return vec![
            format!(
                "install -o root -g {} -m 640 {} {}",
                quote(&one.group),
                quote(&one.file.display().to_string()),
                quote(&place)
            ),
            seen.set(section, "secret_file", &format!("\"{place}\"")),
        ];
    }
    vec![format!(
        "chmod {} {at}",
        if is_folder { "755" } else { "644" }
    )]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::doctor::check::{Verdict, id};
    use crate::doctor::seen::{Unit, Units};
    use crate::doctor::tests::{check, healthy};

    fn closed(file: &str, at: &str, kind: FileKind, mode: u32) -> Closed {
        Closed {
            unit: "teredo-client".into(),
            user: "teredo".into(),
            group: "teredo".into(),
            file: PathBuf::from(file),
            kind,
            at: PathBuf::from(at),
            mode,
            owner: "root:root".into(),
        }
    }

    fn seen(active: &str, code: &str, found: Closed) -> Seen {
        let mut seen = healthy();
        seen.units = Units::Known(vec![Unit {
            name: "teredo-client.service".into(),
            loaded: "loaded".into(),
            active: active.into(),
            file: "enabled".into(),
            code: code.into(),
            restarts: "6".into(),
            user: "teredo".into(),
            ..Unit::default()
        }]);
        seen.closed = vec![found];
        seen
    }

    /// Exit status 78 of a file that root may read: the settings have no mistake.
    #[test]
    fn a_closed_file_is_named_with_the_command_that_opens_it() {
        let secret = "/etc/teredo/alice";
        let main = "/etc/teredo/teredo.toml";
        let folder = "/etc/teredo/teredo.toml.d";
        let in_folder = "/etc/teredo/teredo.toml.d/zz-doctor-port.toml";
        for (found, fix) in [
            (
                closed(secret, secret, FileKind::Secrets, 0o600),
                "chown root:teredo /etc/teredo/alice\nchmod 640 /etc/teredo/alice",
            ),
            (
                closed(main, main, FileKind::Settings, 0o600),
                "chmod 644 /etc/teredo/teredo.toml",
            ),
            (
                closed(in_folder, folder, FileKind::Settings, 0o750),
                "chmod 755 /etc/teredo/teredo.toml.d",
            ),
            (
                closed("/root/alice", "/root", FileKind::Secrets, 0o700),
                "install -o root -g teredo -m 640 /root/alice /etc/teredo/alice",
            ),
        ] {
            let seen = seen("failed", "78", found);
            let valid = check(&seen, id::SETTINGS_VALID);
            assert_eq!(valid.result, Verdict::Fail, "{valid:?}");
            assert!(valid.fix.starts_with(fix), "{valid:?}");
            assert!(valid.fix.ends_with("systemctl restart teredo-client"));
            let unit = check(&seen, id::SERVICE_UNIT);
            assert!(unit.why.contains("cannot open /"), "{unit:?}");
            assert_eq!(unit.fix, valid.fix);
        }
    }

    #[test]
    fn a_closed_device_is_no_matter_of_the_settings() {
        let tun = "/dev/net/tun";
        let seen = seen("activating", "4", closed(tun, tun, FileKind::Tun, 0o600));
        let found = check(&seen, id::HOST_TUN);
        assert_eq!(found.result, Verdict::Fail, "{found:?}");
        assert!(
            found.fix.starts_with("chmod 666 /dev/net/tun\n"),
            "{found:?}"
        );
        assert_eq!(check(&seen, id::SETTINGS_VALID).result, Verdict::Ok);
        assert_eq!(check(&seen, id::SERVICE_UNIT).fix, found.fix);
    }

    /// A file that was closed after the start hurts at the next one.
    #[test]
    fn a_daemon_that_runs_has_read_the_file() {
        let main = "/etc/teredo/teredo.toml";
        let found = closed(main, main, FileKind::Settings, 0o600);
        let found = check(&seen("active", "0", found), id::SETTINGS_VALID);
        assert_eq!(found.result, Verdict::Warn, "{found:?}");
    }
}
