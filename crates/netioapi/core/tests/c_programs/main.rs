//! C programs at a real service, and at the libraries as they are installed: two flavours, four compilers, linked
//! shared and static. What a program does is in `tests/c/`; it asks this process to act as the Teredo client.

mod client;
mod compile;
mod impostor;
mod install;
mod manual;
mod program;
mod symbols;
mod windows;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use compile::{Compiler, FLAVOURS, Flavour, Link, prefix, run, source, tool, work};
use program::runs_everywhere;
use teredo_notify::code::Code;

/// N-01, N-02, N-03, N-04, N-05, N-06, N-10, N-11, N-12, N-13, N-14
#[test]
fn notifications() {
    runs_everywhere("notifications");
}

/// Every row of the return-code table but that of a host without IPv6, and the messages.
#[test]
fn codes() {
    runs_everywhere("codes");
}

/// The row of a host without IPv6.
#[test]
fn no_ipv6() {
    runs_everywhere("no_ipv6");
}

/// N-06, N-07, N-08
#[test]
fn handles() {
    runs_everywhere("handles");
}

/// N-02, N-15
#[test]
fn service() {
    runs_everywhere("service");
}

/// N-05: a child has no registrations, and its parent keeps its own.
#[test]
fn forked() {
    runs_everywhere("forked");
}

/// N-06, N-07, N-19
#[test]
fn ports() {
    runs_everywhere("ports");
}

/// N-07, N-14, N-15, N-18: what the head of the program lists.
#[test]
fn bad_input() {
    let nonsense = impostor::NONSENSE.len().to_string();
    std::thread::scope(|scope| {
        for (flavour, compiler) in FLAVOURS.into_iter().zip([Compiler::GCC, Compiler::GPP]) {
            let nonsense = &nonsense;
            scope.spawn(move || {
                let program = compiler.program(flavour, Link::Shared, "bad_input");
                client::Client::new("bad_input").host(&program, &[nonsense], None);
            });
        }
    });
}

/// N-16
#[test]
fn gate() {
    runs_everywhere("gate");
}

/// The headers bear company.
#[test]
fn crowded() {
    runs_everywhere("crowded");
}

/// Source for Windows compiles unchanged here, and at Windows' own headers as mingw-w64 has them.
#[test]
fn source_for_windows() {
    let [driver, program] = FLAVOURS;
    for compiler in Compiler::ALL {
        compiler.object(program, &source("windows_program"));
        compiler.object(driver, &source("windows_driver"));
    }
    for name in ["windows_program", "windows_driver"] {
        let mut gcc = tool("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64");
        gcc.args(["-fsyntax-only", "-std=c11", "-Wall", "-Wextra", "-Werror"]);
        gcc.args(["-D_WIN32_WINNT=0x0601", "-DNTDDI_VERSION=0x06010000", "-I"]);
        run(gcc
            .arg(source(name).with_file_name("mingw"))
            .arg(source(name)));
    }
}

/// The same program, at work.
#[test]
fn program_for_windows() {
    let [_, program] = FLAVOURS;
    let built = Compiler::GCC.program(program, Link::Shared, "windows_program");
    let output = client::Client::new("windows_program").host(&built, &[], Some(40_000));
    assert_eq!(output, ["port 40000", "1 Teredo ports"]);
}

/// N-06, N-07, N-14: with the program under AddressSanitizer, which sees a callback that uses what was freed after
/// its cancel.
#[test]
fn rounds_under_address_sanitizer() {
    for flavour in FLAVOURS {
        let built = work().join(format!("rounds-asan-{}", flavour.library));
        let mut gcc = Compiler::GCC.command();
        gcc.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        gcc.args(Flavour::cflags_of(flavour));
        gcc.arg("-o").arg(&built).arg(source("rounds"));
        run(gcc.args(flavour.libraries(Link::Shared)));
        client::Client::new("rounds").host(&built, &[&rounds("NETIOAPI_ROUNDS", 20_000)], None);
    }
}

/// N-06, N-07, N-14: with program and library under valgrind, which sees invalid reads and writes of both.
#[test]
fn rounds_under_valgrind() {
    let [_, flavour] = FLAVOURS;
    let built = Compiler::GCC.program(flavour, Link::Shared, "rounds");
    let mut valgrind = tool("valgrind", "valgrind");
    valgrind.args(["--quiet", "--error-exitcode=9", "--fair-sched=yes"]);
    valgrind
        .arg(built)
        .arg(rounds("NETIOAPI_VALGRIND_ROUNDS", 400));
    client::Client::new("rounds").host_command(&mut valgrind, None);
}

/// How many rounds: as many as the variable says, or so many.
fn rounds(variable: &str, otherwise: u64) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_string())
}

/// Both libraries in one process.
#[test]
fn both() {
    let built = work().join("both");
    let mut gcc = Compiler::GCC.command();
    gcc.args(Flavour::cflags_of(FLAVOURS[0]));
    gcc.arg("-o").arg(&built).arg(source("both")).arg("-ldl");
    run(&mut gcc);
    client::Client::new("both").host(&built, &[], None);
}

/// Two plugins with a library each: symbol versions keep the libraries apart.
#[test]
fn plugins() {
    let plugins: Vec<PathBuf> = FLAVOURS
        .into_iter()
        .map(|flavour| {
            let plugin = work().join(format!("plugin-{}.so", flavour.library));
            let mut gcc = Compiler::GCC.command();
            gcc.args(["-shared", "-fPIC", "-o"]).arg(&plugin);
            gcc.args(Flavour::cflags_of(flavour)).arg(source("plugin"));
            gcc.args(flavour.libraries(Link::Shared));
            run(&mut gcc);
            plugin
        })
        .collect();
    let built = work().join("plugins");
    let mut gcc = Compiler::GCC.command();
    gcc.args(Flavour::cflags_of(FLAVOURS[0]));
    gcc.arg("-o").arg(&built).arg(source("plugins")).arg("-ldl");
    run(&mut gcc);
    let mut command = Command::new(built);
    client::Client::new("plugins").host_command(command.args(plugins), None);
}

/// N-06: a plugin that contains the static library may be unloaded as soon as its registration is cancelled.
#[test]
fn unloaded() {
    for flavour in FLAVOURS {
        let plugin = work().join(format!("plugin-static-{}.so", flavour.library));
        let mut gcc = Compiler::GCC.command();
        gcc.args(["-shared", "-fPIC", "-o"]).arg(&plugin);
        gcc.args(Flavour::cflags_of(flavour)).arg(source("plugin"));
        // The objects of the archive are in no language.
        gcc.args(["-x", "none", "-Wl,--strip-debug"]);
        run(gcc.args(flavour.libraries(Link::Static)));
        let built = Compiler::GCC.program(flavour, Link::Shared, "unloaded");
        client::Client::new("unloaded").host(&built, &[plugin.to_str().unwrap()], None);
    }
}

/// N-18: anybody may ask for the port. A program that runs with more rights than its user has does not ask the user
/// where the client is. Needs root, and that no client runs on this machine.
#[test]
fn secure() {
    let [_, flavour] = FLAVOURS;
    let built = Compiler::GCC.program(flavour, Link::Static, "secure");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("secure");
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(folder.path(), 0o755);
    std::fs::copy(built, &program).unwrap();
    std::os::unix::fs::chown(&program, Some(impostor::NOBODY), None).expect("this test needs root");

    let says = || client::Client::new("secure").host(&program, &[], Some(40_000));
    assert_eq!(says(), ["port 40000"]);
    open(&program, 0o4755);
    assert_eq!(says(), [Code::DeviceNotReady.message()]);
}

/// N-17: a C++ exception that leaves a callback ends the process, and does nothing else.
#[test]
fn an_exception_ends_the_process() {
    use std::os::unix::process::ExitStatusExt as _;
    let built = work().join("exception");
    let [_, flavour] = FLAVOURS;
    let mut gpp = Compiler::GPP.command();
    gpp.args(Flavour::cflags_of(flavour));
    gpp.arg("-o").arg(&built).arg(source("exception"));
    run(gpp.args(flavour.libraries(Link::Shared)));
    let output = Command::new(&built)
        .env("LD_LIBRARY_PATH", prefix().join("lib"))
        .env("TEREDO_SOCKET", "/nonexistent/socket")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(6), "{output:?}");
}
