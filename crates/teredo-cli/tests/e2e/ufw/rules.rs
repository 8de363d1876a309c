//! Debian's ufw on a host of the lab, with files of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use teredo_lab::Host;

use crate::world::*;

/// ufw, whose files are those of the Debian package in a folder of the test.
pub(crate) struct Ufw<'a> {
    host: &'a Host,
    pub(crate) folder: PathBuf,
}

impl<'a> Ufw<'a> {
    pub(crate) fn enable(world: &World, host: &'a Host) -> Self {
        let folder = world.path("ufw");
        fs::create_dir_all(folder.join("applications.d")).unwrap();
        let source = PathBuf::from("/usr/share/ufw/iptables");
        let files = fs::read_dir(&source)
            .unwrap_or_else(|error| panic!("{}: {error} (package ufw)", source.display()));
        for file in files {
            let file = file.unwrap();
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        fs::write(folder.join("ufw.conf"), "ENABLED=no\nLOGLEVEL=off\n").unwrap();
        fs::write(folder.join("sysctl.conf"), "").unwrap();
        let ufw = Self { host, folder };
        ufw.type_in("ufw --force enable");
        ufw
    }

    pub(crate) fn try_typing(&self, line: &str) -> Output {
        let script = format!(
            "mount --bind {} /etc/ufw && {{ {line}; }}",
            self.folder.display()
        );
        run(
            self.host,
            Command::new("unshare").args(["--mount", "sh", "-c", &script]),
        )
    }

    /// Types a line as the administrator of the host.
    #[track_caller]
    pub(crate) fn type_in(&self, line: &str) -> String {
        let output = self.try_typing(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors} (package ufw)");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(&self.folder).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }
}
