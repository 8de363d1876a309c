//! The programs of the system that the tests and benchmarks use, and the Debian packages that hold them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{capture, cargo, run, say, step, succeeds};
use crate::tree;

/// A program that a test or a benchmark starts.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    /// Why it is installed.
    purpose: &'static str,
    /// A service that the package enables, and that has to be disabled again.
    service: Option<&'static str>,
}

/// The tools of the tests.
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
        program: "dbus-daemon",
        package: "dbus",
        purpose: "carries the questions of the firewall agent to firewalld",
        service: None,
    },
    Tool {
        program: "firewalld",
        package: "firewalld",
        purpose: "a firewall that the agent asks to open the port",
        service: Some("firewalld.service"),
    },
    Tool {
        program: "ufw",
        package: "ufw",
        purpose: "a firewall that passes what the agent marks",
        service: Some("ufw.service"),
    },
    Tool {
        program: "iptables",
        package: "iptables",
        purpose: "loads the rules of ufw",
        service: None,
    },
    Tool {
        program: "miniupnpd",
        package: "miniupnpd-nftables",
        purpose: "a router that maps ports on request",
        service: Some("miniupnpd.service"),
    },
    Tool {
        program: "bird",
        package: "bird2",
        purpose: "a routing daemon that announces relays and servers",
        service: Some("bird.service"),
    },
    Tool {
        program: "tshark",
        package: "tshark",
        purpose: "dissects the packets independently",
        service: None,
    },
    Tool {
        program: "miredo",
        package: "miredo",
        purpose: "another implementation of the client",
        service: Some("miredo.service"),
    },
    Tool {
        program: "miredo-server",
        package: "miredo-server",
        purpose: "another implementation of the server",
        service: Some("miredo-server.service"),
    },
    Tool {
        program: "clang",
        package: "clang",
        purpose: "a second compiler for the C programs, and for C++",
        service: None,
    },
    Tool {
        program: "clang-14",
        package: "clang-14",
        purpose: "compiles the programs for the kernel again",
        service: None,
    },
    Tool {
        program: "llvm-strip-14",
        package: "llvm-14",
        purpose: "strips them",
        service: None,
    },
    Tool {
        program: "bpftool",
        package: "bpftool",
        purpose: "loads an eBPF firewall that follows the port",
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
        program: "nats-server",
        package: "nats-server",
        purpose: "carries the ports of a fleet",
        service: Some("nats-server.service"),
    },
    Tool {
        program: "openssl",
        package: "openssl",
        purpose: "makes the certificate of a fleet's server",
        service: None,
    },
    Tool {
        program: "jq",
        package: "jq",
        purpose: "reads JSON in an example of the site",
        service: None,
    },
    Tool {
        program: "scapy",
        package: "python3-scapy",
        purpose: "parses Teredo addresses independently",
        service: None,
    },
    Tool {
        program: "valgrind",
        package: "valgrind",
        purpose: "checks how C programs and the library use memory",
        service: None,
    },
    Tool {
        program: "x86_64-w64-mingw32-gcc",
        package: "gcc-mingw-w64-x86-64",
        purpose: "compiles C programs with the headers of Windows",
        service: None,
    },
    Tool {
        program: "mandoc",
        package: "mandoc",
        purpose: "checks the manual pages",
        service: None,
    },
    Tool {
        program: "systemd-analyze",
        package: "systemd",
        purpose: "judges the units of the services, which are tried under a booted systemd",
        service: None,
    },
    Tool {
        program: "prometheus",
        package: "prometheus",
        purpose: "scrapes the metrics, and judges alerts and dashboard",
        service: Some("prometheus.service"),
    },
    Tool {
        // Not a program: the reference's parser of the format.
        program: "/usr/lib/python3/dist-packages/prometheus_client/openmetrics/parser.py",
        package: "python3-prometheus-client",
        purpose: "parses the metrics strictly",
        service: None,
    },
    Tool {
        program: "lintian",
        package: "lintian",
        purpose: "judges the Debian packages",
        service: None,
    },
    Tool {
        program: "rpmbuild",
        package: "rpm",
        purpose: "makes and installs the RPM packages",
        service: None,
    },
    Tool {
        program: "named",
        package: "bind9",
        purpose: "the name server of an example of the site",
        service: Some("named.service"),
    },
    Tool {
        program: "nsupdate",
        package: "bind9-dnsutils",
        purpose: "changes the name server in an example of the site",
        service: None,
    },
    Tool {
        program: "shellcheck",
        package: "shellcheck",
        purpose: "judges an example of the site",
        service: None,
    },
];

/// The tools of the soak.
pub(crate) const SOAK: &[Tool] = &[
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "wipes the tunnel's interface",
        service: None,
    },
    Tool {
        program: "tc",
        package: "iproute2",
        purpose: "makes links slow and queues short",
        service: None,
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "shows the rules, flushes and loads them, and loses packets",
        service: None,
    },
    Tool {
        program: "bash",
        package: "bash",
        purpose: "hands descriptors over to a program",
        service: None,
    },
];

/// The tools of the benchmarks of the data path.
pub(crate) const COMPARE: &[Tool] = &[
    Tool {
        program: "ip",
        package: "iproute2",
        purpose: "routes plain IPv4 along the path of the tunnel",
        service: None,
    },
    Tool {
        program: "nft",
        package: "nftables",
        purpose: "a rival: a process for each change of the rules",
        service: None,
    },
    Tool {
        program: "miredo",
        package: "miredo",
        purpose: "a rival: another implementation of the client and the relay",
        service: Some("miredo.service"),
    },
    Tool {
        program: "miredo-server",
        package: "miredo-server",
        purpose: "a rival: another implementation of the server",
        service: Some("miredo-server.service"),
    },
    Tool {
        program: "chrt",
        package: "util-linux",
        purpose: "gives the latency measurement the highest priority, and the load the lowest",
        service: None,
    },
    Tool {
        program: "perf",
        package: "linux-perf",
        purpose: "counts the system calls of every rival",
        service: None,
    },
];

/// The tools of the count of instructions.
pub(crate) const INSTRUCTIONS: &[Tool] = &[Tool {
    program: "valgrind",
    package: "valgrind",
    purpose: "counts instructions",
    service: None,
}];

/// Makes sure that every tool is installed. Root installs the missing ones.
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
        // The tests run the programs themselves. Installing them must not start a Teredo client at the next boot.
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

/// Fails, and names the package, if `program` is not installed.
pub(crate) fn require(program: &str, package: &str, purpose: &str) -> Result<()> {
    ensure!(
        find(&search_path(), program).is_some(),
        "no {program}, which {purpose}: apt-get install {package}"
    );
    Ok(())
}

/// The version of mdbook that makes the site. Another patch release does as well.
const MDBOOK: &str = "0.5.4";

/// mdbook: the caller's, if its version fits, or one that is installed for this repository only. Debian 12 has no package.
pub(crate) fn mdbook() -> Result<PathBuf> {
    if let Some(found) = find_mdbook()? {
        return Ok(found);
    }
    step(&format!("mdbook {MDBOOK}, once: some minutes"), || {
        run(&mut install_mdbook())
    })
    .with_context(|| {
        format!(
            "the site needs mdbook {MDBOOK}: cargo install --locked mdbook@{MDBOOK} puts it on the PATH"
        )
    })?;
    Ok(own_mdbook().join("bin/mdbook"))
}

/// How it is installed for this repository, if it is not there.
pub(crate) fn mdbook_if_missing() -> Result<Option<Command>> {
    Ok(find_mdbook()?.is_none().then(install_mdbook))
}

/// The folder of this repository's own.
fn own_mdbook() -> PathBuf {
    tree::target_dir().join(format!("mdbook-{MDBOOK}"))
}

fn find_mdbook() -> Result<Option<PathBuf>> {
    let callers = find(&search_path(), "mdbook");
    let candidates = callers.into_iter().chain([own_mdbook().join("bin/mdbook")]);
    for candidate in candidates.filter(|candidate| candidate.is_file()) {
        if does_fit(&capture(Command::new(&candidate).arg("--version"))?, MDBOOK) {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn install_mdbook() -> Command {
    let package = format!("mdbook@={MDBOOK}");
    // Its own speed does not matter, but the time to compile it does. It need not serve pages or watch files here.
    let mut install = cargo(&["install", "--quiet", "--locked", "--debug", &package]);
    install.args(["--no-default-features", "--features", "search"]);
    install.env("CARGO_PROFILE_DEV_DEBUG", "false");
    install.arg("--root").arg(own_mdbook());
    install
}

/// Whether what a program says of its version is the wanted one, or another patch release.
fn does_fit(said: &str, wanted: &str) -> bool {
    let series = wanted.rsplit_once('.').map_or(wanted, |(series, _)| series);
    let version = said.split_whitespace().last().unwrap_or_default();
    let version = version.trim_start_matches('v');
    version
        .strip_prefix(series)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Makes sure that root can make network namespaces and TUN interfaces, which a container may forbid.
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

/// `PATH` with the folders of the system's programs, which the caller's `PATH` may lack.
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
        // A package starts its service, unless the runlevel is that of a single user (invoke-rc.d) and systemctl takes
        // the system for one that is not running.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .env("SYSTEMD_OFFLINE", "1")
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(arguments);
        command
    };
    let install = || {
        let mut command = apt_get(&["install", "-y", "--no-install-recommends"]);
        command.args(packages);
        command
    };
    // The lists of packages may be missing, or name versions that the archive no longer has.
    if run(&mut install()).is_ok() {
        return Ok(());
    }
    run(&mut apt_get(&["update"]))?;
    run(&mut install())
}

fn find(path: &OsString, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests;
