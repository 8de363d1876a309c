//! Windows' names: our headers define the names that their counterparts in mingw-w64 define.
//!
//! Names and numbers are facts, and are read from mingw-w64 as the compiler sees it. Three kinds count, and each must
//! compile here, with the same width, sign and value:
//!
//! - *basic types*: type names for numbers, characters, `void *`, pointers to these, and opaque handles; besides the
//!   structures of [`STRUCTURES`];
//! - *status codes*: every number in winerror.h, in ntstatus.h, and in winnt.h under the names `STATUS_` and `DBG_`;
//! - *annotations*: macros that say something about a declaration and become nothing, a keyword or an attribute.
//!
//! [`kinds::Excluded`] says what is left out, and why. The list is kept in `tests/windows_names.txt`; the codes and the
//! annotations for analysers are kept as the headers that are made of them. `NETIOAPI_WRITE=1` writes all five files.

mod kinds;
mod mingw;
mod write;

use std::path::PathBuf;
use std::process::Command;

use crate::compile::{Compiler, FLAVOURS, Link, run, source, work};
use mingw::{Codes, Flavour};

/// The headers whose types count: the counterparts of ours.
const TYPES: &[&str] = &[
    "basetsd.h",
    "guiddef.h",
    "minwindef.h",
    "windef.h",
    "winnt.h",
    "winerror.h",
    "ifdef.h",
    "netioapi.h",
    "iphlpapi.h",
    "fwptypes.h",
    "fwpmtypes.h",
    "fwpmu.h",
    "ntdef.h",
    "wdm.h",
    "ntddk.h",
];

/// The headers whose structures count as basic types: all other headers build on them.
const STRUCTURES: &[&str] = &["guiddef.h", "minwindef.h", "windef.h", "ntdef.h"];

/// The annotations for analysers: all that these files define.
const ANALYSIS: &[&str] = &[
    "sal.h",
    "specstrings.h",
    "driverspecs.h",
    "concurrencysal.h",
];

/// The other files that may define annotations.
const ANNOTATED: &[&str] = &[
    "basetsd.h",
    "guiddef.h",
    "minwindef.h",
    "windef.h",
    "winnt.h",
    "netioapi.h",
    "ntdef.h",
    "wdm.h",
    "ntddk.h",
];

/// The files that are kept, each with what it should hold.
fn kept() -> [(PathBuf, String); 5] {
    let tests = source("x").parent().unwrap().parent().unwrap().to_owned();
    let include = tests.with_file_name("include");
    let names = mingw::names();
    let codes = |codes: Codes| write::codes(codes, &codes.read());
    [
        (tests.join("windows_names.txt"), write::list(&names)),
        (include.join("sal_names.h"), write::annotations(&names)),
        (include.join("winerror_codes.h"), codes(Codes::Winerror)),
        (include.join("ntstatus_codes.h"), codes(Codes::Ntstatus)),
        (include.join("winnt_codes.h"), codes(Codes::Winnt)),
    ]
}

/// The list and the headers that are made of it are those of the mingw-w64 at hand.
#[test]
fn windows_names_are_those_of_mingw() {
    for (path, text) in kept() {
        if std::env::var_os("NETIOAPI_WRITE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = text
            .lines()
            .zip(found.lines())
            .find(|(new, old)| new != old);
        assert!(
            text == found,
            "{} is not what mingw-w64 defines, first at {differs:?}: NETIOAPI_WRITE=1 writes it anew",
            path.display()
        );
    }
}

/// Every name compiles, here and there, as the same thing.
#[test]
fn windows_names_are_the_same_here() {
    let names = mingw::names();
    for flavour in Flavour::ALL {
        let checks = write::checks(&names[flavour.index()]);
        compile(flavour, flavour.name(), flavour.headers_of_mingw(), &checks);
    }
    for (codes, flavour, name) in [
        (Codes::Winerror, Flavour::Program, "winerror"),
        (Codes::Winnt, Flavour::Program, "winnt"),
        (Codes::Ntstatus, Flavour::Driver, "ntstatus"),
    ] {
        let checks = write::code_checks(codes, &codes.read());
        compile(flavour, name, codes.headers_of_mingw(), &checks);
    }
}

/// Compiles checks with mingw-w64's compiler and its headers, and with all others and ours.
fn compile(flavour: Flavour, name: &str, headers_of_mingw: &str, checks: &str) {
    let there = work().join(format!("names-{name}-mingw.c"));
    std::fs::write(&there, format!("{headers_of_mingw}{checks}")).unwrap();
    run(mingw::gcc().args(["-w", "-fsyntax-only"]).arg(&there));

    let here = work().join(format!("names-{name}.c"));
    let headers = flavour.headers_of_ours();
    std::fs::write(&here, format!("{headers}{checks}")).unwrap();
    for compiler in Compiler::ALL {
        compiler.object(FLAVOURS[flavour.index()], &here);
    }
}

/// Typical source of programs and of drivers compiles with mingw-w64, and runs here.
#[test]
fn windows_idioms() {
    for (flavour, name) in [
        (Flavour::Driver, "windows_driver_idioms"),
        (Flavour::Program, "windows_idioms"),
    ] {
        let mut gcc = mingw::gcc();
        gcc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]);
        run(gcc.arg(source(name)));
        for compiler in Compiler::ALL {
            let program = compiler.program(FLAVOURS[flavour.index()], Link::Static, name);
            run(&mut Command::new(program));
        }
    }
}

/// The headers compile ahead of the system's and behind them.
#[test]
fn neighbours() {
    let after = work().join("neighbours-after.c");
    let text = format!(
        "#define AFTER\n#include \"{}\"\n",
        source("neighbours").display()
    );
    std::fs::write(&after, text).unwrap();
    for flavour in FLAVOURS {
        for compiler in Compiler::ALL {
            compiler.object(flavour, &source("neighbours"));
            compiler.object(flavour, &after);
        }
    }
}

/// Each header can be the first one of a source, and the second.
#[test]
fn each_header_alone() {
    let headers = source("x").ancestors().nth(3).unwrap().join("include");
    for header in std::fs::read_dir(headers).unwrap() {
        let header = header.unwrap().file_name().into_string().unwrap();
        let file = work().join(format!("alone-{header}.c"));
        let include = format!("#include <{header}>\n");
        std::fs::write(&file, format!("{include}{include}extern int used;\n")).unwrap();
        for flavour in FLAVOURS {
            for compiler in [Compiler::GCC, Compiler::GPP] {
                compiler.object(flavour, &file);
            }
        }
    }
}
