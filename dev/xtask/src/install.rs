//! `cargo xtask install`: installs the program, the C libraries with their headers, and the manual pages below a prefix.
//!
//! This module links the shared libraries itself, from the archives that cargo builds. rustc passes the linker an export
//! list of its own, and linkers do not combine that with symbol versions. Without versions, a process that has loaded
//! both libraries would call the wrong functions, because they have the same names.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Artifact, Message};

use crate::command::{DIST, build_as_tests, capture, cargo, run as execute, say};
use crate::tree;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the installed files belong.
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    pub(crate) prefix: PathBuf,
    /// The folder of the libraries below the prefix, such as lib64.
    #[arg(long, value_name = "DIR", default_value = "lib")]
    pub(crate) libdir: String,
    /// Install below this folder instead of the root, to make a package.
    #[arg(long, value_name = "DIR")]
    pub(crate) destdir: Option<PathBuf>,
    /// Install only the libraries, their headers and their manual pages.
    #[arg(long)]
    pub(crate) libraries: bool,
    /// Build without optimisation.
    #[arg(long)]
    pub(crate) debug: bool,
}

/// The number in the name of the shared libraries. It changes if programs must be linked again.
const ABI: &str = "0";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const HEADERS: &str = "crates/netioapi/core/include";
/// The port for eBPF programs, which link nothing.
const EBPF_HEADER: &str = "crates/teredo-bpf/programs/teredo_port.h";
const PAGES: &str = "docs/man";
/// The libraries of the system that Rust's standard library needs.
const SYSTEM_LIBRARIES: &[&str] = &["-lgcc_s", "-lpthread", "-lm", "-ldl", "-lc"];

struct Library {
    /// The name without `lib`, which is pkg-config's too.
    name: &'static str,
    package: &'static str,
    cflags: &'static str,
    description: &'static str,
}

const LIBRARIES: &[Library] = &[
    Library {
        name: "teredo-netio",
        package: "netioapi-netio",
        cflags: " -DTEREDO_NETIO_DRIVER",
        description: "Notifications of the Teredo client's port, for drivers (NTSTATUS)",
    },
    Library {
        name: "teredo-iphlpapi",
        package: "netioapi-iphlpapi",
        cflags: "",
        description: "Notifications of the Teredo client's port, for programs (Win32 errors)",
    },
];

/// Builds and installs, and says where.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = install(options)?;
    say(format_args!("installed below {}", root.display()))
}

/// Builds and installs; returns the folder that everything lies in.
pub(crate) fn install(options: &Options) -> Result<PathBuf> {
    ensure!(
        options.prefix.is_absolute(),
        "the prefix must be an absolute path: it is written into the pkg-config files"
    );
    ensure!(
        Path::new(&options.libdir).is_relative(),
        "--libdir {}: the folder of the libraries is below the prefix; leave out the leading /",
        options.libdir
    );
    let place = Place::new(options);
    let built = Built::new(options)?;
    for library in LIBRARIES {
        let (archive, folder) = built.find(&library.name.replace('-', "_"))?;
        place.library(library, &archive, &folder.join("symbols.map"))?;
    }
    for header in files(HEADERS, "h")? {
        place.file(&header, "include/teredo", 0o644)?;
    }
    place.file(&tree::root().join(EBPF_HEADER), "include/teredo", 0o644)?;
    for page in files(PAGES, "3")? {
        place.file(&page, "share/man/man3", 0o644)?;
    }
    if !options.libraries {
        let (program, _) = built.find("teredo")?;
        place.file(&program, "bin", 0o755)?;
        let pages = place.folder("share/man/man1")?;
        execute(Command::new(&program).arg("man").arg(pages))?;
    }
    Ok(place.root)
}

/// The output of the build.
struct Built {
    artifacts: Vec<Artifact>,
}

impl Built {
    fn new(options: &Options) -> Result<Self> {
        let mut command = if options.debug {
            build_as_tests(&["--lib", "--bin", "teredo"])
        } else {
            let mut command = cargo(&["build", "--quiet", "--locked", "--profile", DIST]);
            for library in LIBRARIES {
                command.args(["-p", library.package]);
            }
            if !options.libraries {
                command.args(["-p", "teredo-cli"]);
            }
            command
        };
        command.arg("--message-format=json-render-diagnostics");
        let mut artifacts = Vec::new();
        for message in Message::parse_stream(capture(&mut command)?.as_bytes()) {
            if let Message::CompilerArtifact(artifact) =
                message.context("cannot read cargo's account of the build")?
            {
                artifacts.push(artifact);
            }
        }
        Ok(Self { artifacts })
    }

    /// The program or archive of a target, and the folder of its package.
    fn find(&self, target: &str) -> Result<(PathBuf, PathBuf)> {
        let mut artifacts = self
            .artifacts
            .iter()
            .filter(|artifact| artifact.target.name == target);
        artifacts
            .find_map(|artifact| {
                let archive = |file: &&Utf8PathBuf| file.extension() == Some("a");
                let archive = artifact.filenames.iter().find(archive);
                let file = artifact.executable.as_ref().or(archive)?;
                Some((file.into(), artifact.manifest_path.parent()?.into()))
            })
            .with_context(|| format!("cargo has not built {target}"))
    }
}

/// The folders to install to.
struct Place {
    prefix: PathBuf,
    root: PathBuf,
    libdir: String,
}

impl Place {
    fn new(options: &Options) -> Self {
        let prefix = &options.prefix;
        let root = match &options.destdir {
            // A path that begins with / would replace the one that it is joined to.
            Some(destdir) => destdir.join(prefix.strip_prefix("/").unwrap_or(prefix)),
            None => prefix.clone(),
        };
        Self {
            prefix: prefix.clone(),
            root,
            libdir: options.libdir.clone(),
        }
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    fn file(&self, source: &Path, folder: &str, mode: u32) -> Result<()> {
        let name = source.file_name().context("a file without a name")?;
        let target = self.folder(folder)?.join(name);
        replace(&target, mode, |path| fs::copy(source, path).map(drop))
    }

    fn library(&self, library: &Library, archive: &Path, symbols: &Path) -> Result<()> {
        let Library {
            name,
            cflags,
            description,
            ..
        } = library;
        let libdir = &self.libdir;
        let folder = self.folder(libdir)?;
        replace(&folder.join(format!("lib{name}.a")), 0o644, |path| {
            fs::copy(archive, path).map(drop)
        })?;

        let linked = tempfile::tempdir().context("no place for temporary files")?;
        let shared = linked.path().join(format!("lib{name}.so.{VERSION}"));
        let soname = format!("lib{name}.so.{ABI}");
        execute(&mut link(archive, &shared, &soname, symbols))?;
        self.file(&shared, libdir, 0o755)?;
        replace_link(&folder.join(&soname), &format!("lib{name}.so.{VERSION}"))?;
        replace_link(&folder.join(format!("lib{name}.so")), &soname)?;

        let prefix = self.prefix.display();
        let private = SYSTEM_LIBRARIES.join(" ");
        let text = format!(
            "prefix={prefix}\nlibdir=${{prefix}}/{libdir}\nincludedir=${{prefix}}/include/teredo\n\n\
             Name: {name}\nDescription: {description}\nVersion: {VERSION}\n\
             Libs: -L${{libdir}} -l{name}\nLibs.private: {private}\nCflags: -I${{includedir}}{cflags}\n"
        );
        let folder = self.folder(&format!("{libdir}/pkgconfig"))?;
        replace(&folder.join(format!("{name}.pc")), 0o644, |path| {
            fs::write(path, &text)
        })
    }
}

/// The command that links the shared library. It takes everything from the archive that the exported functions need,
/// leaves no symbol undefined, and is never unloaded, because its threads run in it.
fn link(archive: &Path, shared: &Path, soname: &str, symbols: &Path) -> Command {
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(cc);
    command
        .args(["-shared", "-o"])
        .arg(shared)
        .arg(format!("-Wl,-soname,{soname}"))
        .arg(format!("-Wl,--version-script={}", symbols.display()))
        .args(["-Wl,-z,defs", "-Wl,-z,nodelete", "-Wl,-z,relro,-z,now"])
        .args([
            "-Wl,--gc-sections",
            "-Wl,--as-needed",
            "-Wl,--whole-archive",
        ])
        .arg(archive)
        .arg("-Wl,--no-whole-archive")
        .args(SYSTEM_LIBRARIES);
    command
}

/// Replaces a file at once. A program that has loaded the old one keeps it.
fn replace(
    target: &Path,
    mode: u32,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<()> {
    let mut new = target.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    write(&new)
        .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&new, target))
        .with_context(|| format!("cannot install {}", target.display()))
}

fn replace_link(place: &Path, target: &str) -> Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => symlink(target, place),
    }
    .with_context(|| format!("cannot install {}", place.display()))
}

fn files(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let folder = tree::root().join(folder);
    let listing =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in listing {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}
