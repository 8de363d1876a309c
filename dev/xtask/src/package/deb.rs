//! Debian packages, by dpkg-deb from a tree that is divided among them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::elf::Needs;
use super::stage::{Folders, Stage};
use super::{Release, compress, files, write};
use crate::command::{capture, run as execute};
use crate::{tools, tree};

/// The packages.
pub(crate) const PACKAGES: [&str; 4] = ["teredo", "teredo-firewall", "libteredo0", "libteredo-dev"];

/// The sources of the packages, from the root of the repository.
const SOURCES: &str = "packaging/deb";

/// Signs the packages, unless `DEBFULLNAME` and `DEBEMAIL` name somebody else.
const MAINTAINER: (&str, &str) = ("The teredo authors", "maintainers@teredo.invalid");

/// Parts of a package that dpkg runs or reads, and their modes; a package has those for which there is a source.
const CONTROL: &[(&str, u32)] = &[
    ("postinst", 0o755),
    ("prerm", 0o755),
    ("postrm", 0o755),
    ("shlibs", 0o644),
    ("triggers", 0o644),
];

pub(super) fn run(release: &Release, debug: bool, out: &Path) -> Result<Vec<PathBuf>> {
    build(&stage(debug)?, release, debug, out)
}

/// The tree of a Debian host.
pub(crate) fn stage(debug: bool) -> Result<Stage> {
    for (program, purpose) in [
        ("dpkg-deb", "writes the packages"),
        ("dpkg", "names the architecture"),
    ] {
        tools::require(program, "dpkg", purpose)?;
    }
    let folders = Folders {
        libraries: &format!("lib/{}", multiarch()?),
        zsh: "usr/share/zsh/vendor-completions",
    };
    Stage::new(&folders, debug)
}

/// Writes the packages; `fast` compresses little.
pub(crate) fn build(
    stage: &Stage,
    release: &Release,
    fast: bool,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let architecture = capture(Command::new("dpkg").arg("--print-architecture"))?;
    let folder = tempfile::tempdir().context("no place for temporary files")?;
    let staged = stage.files()?;
    let mut made = Vec::new();
    for name in PACKAGES {
        let package = Package {
            name,
            root: folder.path().join(name),
            release,
            architecture: architecture.trim(),
        };
        for path in staged.iter().filter(|path| owner(path) == name) {
            place(&stage.root().join(path), &package.root.join(path))?;
        }
        package.documents()?;
        package.control()?;
        made.push(package.pack(fast, out)?);
    }
    Ok(made)
}

/// The package that a file of the tree belongs to.
pub(crate) fn owner(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    if name.starts_with("libteredo-") {
        // Only the linker wants the name without a number.
        if is("so") || is("a") {
            "libteredo-dev"
        } else {
            "libteredo0"
        }
    } else if is("pc") || path.starts_with("usr/include") || path.starts_with("usr/share/man/man3")
    {
        "libteredo-dev"
    } else if name.contains("teredo-firewall.")
        && [
            "usr/lib/systemd",
            "usr/lib/sysusers.d",
            "usr/share/polkit-1",
        ]
        .iter()
        .any(|folder| path.starts_with(folder))
    {
        "teredo-firewall"
    } else {
        "teredo"
    }
}

/// A package on its way.
struct Package<'a> {
    name: &'static str,
    root: PathBuf,
    release: &'a Release,
    architecture: &'a str,
}

impl Package<'_> {
    fn version(&self) -> String {
        format!("{}-{}", self.release.version, self.release.revision)
    }

    /// The licence and the changes, which every package has, and where it departs from Debian's customs.
    fn documents(&self) -> Result<()> {
        let folder = self.root.join("usr/share/doc").join(self.name);
        write(
            &folder.join("copyright"),
            tree::read(&format!("{SOURCES}/copyright"))?,
        )?;
        write(&folder.join("changelog"), tree::read("CHANGELOG.md")?)?;
        let changes = format!(
            "teredo ({}) unstable; urgency=medium\n\n  * Release {}; changelog.gz lists the changes.\n\n -- {}  {}\n",
            self.version(),
            self.release.version,
            maintainer(),
            self.release.date("-R")?
        );
        write(&folder.join("changelog.Debian"), changes)?;
        for file in ["changelog", "changelog.Debian"] {
            compress(&folder.join(file))?;
        }
        let overrides = format!("{SOURCES}/{}.lintian-overrides", self.name);
        if tree::root().join(&overrides).exists() {
            let target = self
                .root
                .join("usr/share/lintian/overrides")
                .join(self.name);
            write(&target, tree::read(&overrides)?)?;
        }
        Ok(())
    }

    /// The files of `DEBIAN`.
    fn control(&self) -> Result<()> {
        let contents = files(&self.root)?;
        let mut needs = Needs::default();
        let mut kibibytes = 0;
        for path in &contents {
            let path = self.root.join(path);
            needs.add(&path)?;
            let size = fs::symlink_metadata(&path).map_or(0, |file| file.len());
            kibibytes += size.div_ceil(1024);
        }
        let head = format!(
            "Version: {}\nArchitecture: {}\nMaintainer: {}\nInstalled-Size: {kibibytes}\nPriority: optional\nSection:",
            self.version(),
            self.architecture,
            maintainer()
        );
        let control = tree::read(&format!("{SOURCES}/{}.control", self.name))?;
        let control = self.filled(&control.replacen("Section:", &head, 1), &needs);
        self.part("control", 0o644, control)?;

        let settings: String = contents
            .iter()
            .filter(|path| path.starts_with("etc"))
            .map(|path| format!("/{}\n", path.display()))
            .collect();
        if !settings.is_empty() {
            self.part("conffiles", 0o644, settings)?;
        }
        let mut sums = Command::new("md5sum");
        sums.current_dir(&self.root).args(
            contents
                .iter()
                .filter(|path| !self.root.join(path).is_symlink()),
        );
        self.part("md5sums", 0o644, capture(&mut sums)?)?;
        for (part, mode) in CONTROL {
            let source = format!("{SOURCES}/{}.{part}", self.name);
            if tree::root().join(&source).exists() {
                self.part(part, *mode, self.filled(&tree::read(&source)?, &needs))?;
            }
        }
        Ok(())
    }

    fn part(&self, name: &str, mode: u32, text: String) -> Result<()> {
        let path = self.root.join("DEBIAN").join(name);
        write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot change {}", path.display()))
    }

    /// `template` with the versions and libraries in their places.
    fn filled(&self, template: &str, needs: &Needs) -> String {
        template
            .replace("@LIBRARIES@", &libraries(needs))
            .replace("@VERSION@", &self.version())
            .replace("@UPSTREAM@", self.release.version)
    }

    fn pack(&self, fast: bool, out: &Path) -> Result<PathBuf> {
        let file = out.join(format!(
            "{}_{}_{}.deb",
            self.name,
            self.version(),
            self.architecture
        ));
        let compression = if fast {
            ["-Zgzip", "-z1"]
        } else {
            ["-Zxz", "-z6"]
        };
        let mut pack = Command::new("dpkg-deb");
        pack.args(["--root-owner-group", "--build"])
            .args(compression)
            .arg(&self.root)
            .arg(&file)
            .env("SOURCE_DATE_EPOCH", self.release.epoch.to_string())
            // It would announce every package.
            .stdout(std::process::Stdio::null());
        execute(&mut pack)?;
        Ok(file)
    }
}

/// The packages of the system's libraries.
fn libraries(needs: &Needs) -> String {
    let mut packages = Vec::new();
    if let Some((major, minor)) = needs.glibc {
        packages.push(format!("libc6 (>= {major}.{minor})"));
    }
    if needs.libgcc {
        packages.push("libgcc-s1".to_owned());
    }
    packages.join(", ")
}

fn maintainer() -> String {
    let chosen = |variable, usual: &str| {
        let value = std::env::var(variable).ok();
        value
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| usual.to_owned())
    };
    let (name, address) = MAINTAINER;
    format!(
        "{} <{}>",
        chosen("DEBFULLNAME", name),
        chosen("DEBEMAIL", address)
    )
}

/// Debian's name for this kind of machine, such as `x86_64-linux-gnu`: libraries of several lie side by side.
fn multiarch() -> Result<String> {
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let name = capture(Command::new(cc).arg("-print-multiarch"))?;
    let name = name.trim();
    ensure!(
        !name.is_empty(),
        "the C compiler names no folder for libraries (-print-multiarch): apt-get install build-essential"
    );
    Ok(name.to_owned())
}

/// A copy of a file or a link.
fn place(source: &Path, target: &Path) -> Result<()> {
    let is_library = source.to_string_lossy().contains(".so.");
    let copy = || {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        if source.is_symlink() {
            return symlink(fs::read_link(source)?, target);
        }
        fs::copy(source, target)?;
        // On Debian, a library is no program.
        if is_library {
            fs::set_permissions(target, fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    };
    copy().with_context(|| format!("cannot write {}", target.display()))
}

#[cfg(test)]
mod tests;
