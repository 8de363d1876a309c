//! The programs of the system that the tests and benchmarks use, and the Debian packages that hold them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::command::{run, say, succeeds};

/// A program that a test or a benchmark starts.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    /// What it is used for: the reason to install it.
    purpose: &'static str,
    /// The service that installing the package enables, which nobody asked for.
    service: Option<&'static str>,
}

/// What the tests need.
pub(crate) const TEST: &[Tool] = &[
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "puts interfaces and addresses into a namespace",
        service: None,
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "shows the rules that the firewall agent wrote",
        service: None,
    },
    Tool {
        program: "tshark",
        package: "tshark",
        purpose: "dissects what was sent, as a second opinion",
        service: None,
    },
    Tool {
        program: "miredo",
        package: "miredo",
        purpose: "a client of another make",
        service: Some("miredo.service"),
    },
    Tool {
        program: "miredo-server",
        package: "miredo-server",
        purpose: "a server of another make",
        service: Some("miredo-server.service"),
    },
    Tool {
        program: "clang",
        package: "clang",
        purpose: "a second compiler for the C programs, and for C++",
        service: None,
    },
    Tool {
        program: "g++",
        package: "g++",
        purpose: "compiles the C programs as C++",
        service: None,
    },
    Tool {
        program: "pkg-config",
        package: "pkg-config",
        purpose: "tells compilers where the installed C libraries are",
        service: None,
    },
    Tool {
        program: "nm",
        package: "binutils",
        purpose: "shows what the C libraries export",
        service: None,
    },
    Tool {
        program: "python3",
        package: "python3",
        purpose: "runs an example of the guide",
        service: None,
    },
    Tool {
        program: "scapy",
        package: "python3-scapy",
        purpose: "takes Teredo addresses apart, as another opinion",
        service: None,
    },
    Tool {
        program: "valgrind",
        package: "valgrind",
        purpose: "sees what a C program and its library do to memory",
        service: None,
    },
    Tool {
        program: "x86_64-w64-mingw32-gcc",
        package: "gcc-mingw-w64-x86-64",
        purpose: "holds C programs against Windows' headers",
        service: None,
    },
    Tool {
        program: "mandoc",
        package: "mandoc",
        purpose: "checks the manual pages",
        service: None,
    },
];

/// What the benchmarks of the data path need.
pub(crate) const COMPARE: &[Tool] = &[
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "leads plain IPv4 the way of the tunnel",
        service: None,
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "a rival: rules by a process for each change",
        service: None,
    },
    Tool {
        program: "miredo",
        package: "miredo",
        purpose: "a rival: a client and a relay of another make",
        service: Some("miredo.service"),
    },
    Tool {
        program: "miredo-server",
        package: "miredo-server",
        purpose: "a rival: a server of another make",
        service: Some("miredo-server.service"),
    },
    Tool {
        program: "chrt",
        package: "util-linux",
        purpose: "lets what measures latency have its core first, and the load have it last",
        service: None,
    },
    Tool {
        program: "perf",
        package: "linux-perf",
        purpose: "counts the system calls of all of them",
        service: None,
    },
];

/// What the count of instructions needs.
pub(crate) const INSTRUCTIONS: &[Tool] = &[Tool {
    program: "valgrind",
    package: "valgrind",
    purpose: "counts instructions",
    service: None,
}];

/// Makes sure that every tool is there, and installs what is missing; only root can.
pub(crate) fn ensure_installed(tools: &[Tool]) -> Result<()> {
    let path = search_path();
    let missing: Vec<&Tool> = tools
        .iter()
        .filter(|tool| find(&path, tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    for tool in &missing {
        say(format_args!(
            "    {} is missing ({}): package {}",
            tool.program, tool.purpose, tool.package
        ))?;
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "install them, or run this as root: apt-get install {}",
        packages.join(" ")
    );
    install(&packages)?;
    for service in missing.iter().filter_map(|tool| tool.service) {
        // The tests run the programs themselves, in namespaces; a Teredo client at the next boot would be a surprise.
        succeeds(
            Command::new("systemctl")
                .args(["disable", service])
                .env("SYSTEMD_OFFLINE", "1"),
        );
    }
    match tools
        .iter()
        .find(|tool| find(&path, tool.program).is_none())
    {
        Some(tool) => bail!(
            "package {} was installed, and there is still no {}",
            tool.package,
            tool.program
        ),
        None => Ok(()),
    }
}

/// Makes sure that root may make network namespaces and TUN interfaces here, which a container can forbid.
pub(crate) fn ensure_namespaces() -> Result<()> {
    ensure!(
        succeeds(Command::new("unshare").args(["--net", "--mount", "true"])),
        "no network namespaces here (`unshare --net --mount true` fails): in a container, run it privileged"
    );
    ensure!(
        Path::new("/dev/net/tun").exists(),
        "no /dev/net/tun: `modprobe tun`, or hand the device to the container"
    );
    Ok(())
}

/// `PATH`, with the folders for the system's programs, which a user's `PATH` may lack.
pub(crate) fn search_path() -> OsString {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for system in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !folders.iter().any(|folder| folder == Path::new(system)) {
            folders.push(system.into());
        }
    }
    // Joining fails only on a folder with a colon in it, and these came from splitting at colons.
    std::env::join_paths(folders).unwrap_or_default()
}

fn install(packages: &[&str]) -> Result<()> {
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // Installing a package starts its service, unless the runlevel is that of a single user (invoke-rc.d) and
        // systemctl believes that it works on a system which is not running.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .env("SYSTEMD_OFFLINE", "1")
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(arguments);
        command
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if !succeeds(
        apt_get(&["install", "-y", "--no-install-recommends", "--simulate"]).args(packages),
    ) {
        run(&mut apt_get(&["update"]))?;
    }
    run(&mut apt_get(&arguments))
}

fn find(path: &OsString, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests;
