//! Compilers, and the libraries as they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// One of the two libraries.
#[derive(Clone, Copy)]
pub(crate) struct Flavour {
    /// The name for pkg-config and the linker.
    pub(crate) library: &'static str,
    /// The crate that it is made from.
    pub(crate) package: &'static str,
}

/// For drivers, for programs.
pub(crate) const FLAVOURS: [Flavour; 2] = [
    Flavour {
        library: "teredo-netio",
        package: "netioapi-netio",
    },
    Flavour {
        library: "teredo-iphlpapi",
        package: "netioapi-iphlpapi",
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Shared,
    Static,
}

impl Link {
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Static => "static",
        }
    }
}

impl Flavour {
    pub(crate) fn cflags_of(self) -> Vec<String> {
        self.pkg_config(&["--cflags"])
    }

    /// How to link with it.
    pub(crate) fn libraries(self, link: Link) -> Vec<String> {
        match link {
            Link::Shared => self.pkg_config(&["--libs"]),
            // -l would take the shared library, which is there too.
            Link::Static => self
                .pkg_config(&["--libs", "--static"])
                .into_iter()
                .map(|flag| {
                    if flag == format!("-l{}", self.library) {
                        format!("-l:lib{}.a", self.library)
                    } else {
                        flag
                    }
                })
                .collect(),
        }
    }

    fn pkg_config(self, arguments: &[&str]) -> Vec<String> {
        let mut pkg_config = tool("pkg-config", "pkg-config");
        pkg_config
            .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
            .args(arguments)
            .arg(self.library);
        let flags = run(&mut pkg_config);
        flags.split_whitespace().map(str::to_owned).collect()
    }
}

/// A compiler and the language that it compiles the programs as.
#[derive(Clone, Copy)]
pub(crate) struct Compiler {
    program: &'static str,
    package: &'static str,
    language: &'static str,
    standard: &'static str,
}

impl Compiler {
    pub(crate) const GCC: Self = Self {
        program: "gcc",
        package: "gcc",
        language: "c",
        standard: "c11",
    };
    pub(crate) const GPP: Self = Self {
        program: "g++",
        package: "g++",
        language: "c++",
        standard: "c++17",
    };
    const CLANG: Self = Self {
        program: "clang",
        package: "clang",
        language: "c",
        standard: "c11",
    };
    const CLANGPP: Self = Self {
        program: "clang++",
        package: "clang",
        language: "c++",
        standard: "c++17",
    };
    pub(crate) const ALL: [Self; 4] = [Self::GCC, Self::GPP, Self::CLANG, Self::CLANGPP];

    /// How its programs are linked: each way with objects of both languages and of both compilers. The linker is the same for
    /// all, and the static libraries cost it most of the time of these tests.
    pub(crate) fn links(self) -> &'static [Link] {
        match self.program {
            "gcc" | "clang++" => &[Link::Shared, Link::Static],
            _ => &[Link::Shared],
        }
    }

    /// The compiler with the options that are the same everywhere; files follow, which are in its language.
    pub(crate) fn command(self) -> Command {
        let mut command = tool(self.program, self.package);
        command.arg(format!("-std={}", self.standard));
        command.args(["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        command.args(["-g", "-pthread", "-x", self.language]);
        command
    }

    /// Compiles a file of a flavour.
    pub(crate) fn object(self, flavour: Flavour, file: &Path) -> PathBuf {
        let name = file.file_stem().unwrap().to_string_lossy();
        let object = work().join(format!("{name}-{}-{}.o", self.program, flavour.library));
        let mut command = self.command();
        command.args(flavour.cflags_of());
        command.arg("-c").arg("-o").arg(&object).arg(file);
        run(&mut command);
        object
    }

    /// Compiles a program of a flavour, and links it.
    pub(crate) fn program(self, flavour: Flavour, link: Link, name: &str) -> PathBuf {
        let object = self.object(flavour, &source(name));
        let program = object.with_extension(link.name());
        let mut command = tool(self.program, self.package);
        command.arg("-o").arg(&program).arg(object);
        command.args(["-pthread", "-Wl,--gc-sections", "-Wl,--strip-debug"]);
        run(command.args(flavour.libraries(link)));
        program
    }
}

/// A program of the tests, by its name.
pub(crate) fn source(name: &str) -> PathBuf {
    root().join(format!("crates/netioapi/core/tests/c/{name}.c"))
}

/// The root of the repository: other crates' tests use this file, too.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut above = here.ancestors();
    above
        .find(|folder| folder.join("Cargo.lock").is_file())
        .unwrap()
}

/// A folder for what is compiled here.
pub(crate) fn work() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(concat!("c_programs-", env!("CARGO_CRATE_NAME")));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where the libraries are installed, by the same command that installs them anywhere.
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = work().join("prefix");
        if prefix.exists() {
            std::fs::remove_dir_all(&prefix).unwrap();
        }
        let mut xtask = xtask();
        xtask.args(["install", "--libraries", "--debug", "--prefix"]);
        run(xtask.arg(&prefix));
        prefix
    })
}

/// Cargo, in the folder of this crate, as a user calls it: without what it has told this program of its package. The build
/// script of `ring` looks at that, so `ring` and all that depends on it would be compiled again for each package.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        if of_package
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// `cargo xtask`.
pub(crate) fn xtask() -> Command {
    let mut xtask = cargo();
    xtask.args(["run", "--quiet", "--locked", "--package", "xtask", "--"]);
    xtask
}

/// A program of a Debian package. Where it is missing, the test fails and says so.
pub(crate) fn tool(program: &str, package: &str) -> Command {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file());
    assert!(found, "no {program}: install the package {package}");
    Command::new(program)
}

/// Runs a command that must succeed; its output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
