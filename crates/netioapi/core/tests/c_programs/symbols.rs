//! The names that the libraries show to linkers and loaders.

use std::path::Path;

use crate::compile::{FLAVOURS, Flavour, prefix, run, tool};

fn map(flavour: Flavour) -> String {
    let folder = flavour.package.strip_prefix("netioapi-").unwrap();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(crates.join(folder).join("symbols.map")).unwrap()
}

/// The version and the names in a library's list.
fn listed(flavour: Flavour) -> (String, Vec<String>) {
    let map = map(flavour);
    let (head, names) = map.split_once("global:").unwrap();
    let version = head.lines().find_map(|line| line.strip_suffix(" {"));
    let (names, _) = names.split_once("local:").unwrap();
    let names = names.split(';').map(|name| name.trim().to_owned());
    (
        version.unwrap().to_owned(),
        names.filter(|name| !name.is_empty()).collect(),
    )
}

/// The shared library exports the listed functions, with their version, and nothing else.
#[test]
fn exports() {
    for flavour in FLAVOURS {
        let (version, mut expected) = listed(flavour);
        for name in &mut expected {
            *name = format!("{name}@@{version}");
        }
        expected.push(version);
        expected.sort();
        let library = prefix().join(format!("lib/lib{}.so", flavour.library));
        let mut nm = tool("nm", "binutils");
        nm.args(["-D", "--defined-only", "--with-symbol-versions"]);
        let output = run(nm.arg(library));
        let mut found: Vec<&str> = output
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// Both libraries have the same functions, and the headers declare each of them.
#[test]
fn headers() {
    let [driver, program] = FLAVOURS.map(|flavour| listed(flavour).1);
    assert_eq!(driver, program);
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let text = ["netioapi.h", "fwpmu.h"]
        .map(|name| std::fs::read_to_string(headers.join(name)).unwrap())
        .concat();
    for name in driver {
        assert!(
            text.contains(&format!(" {name}(")),
            "{name} is in no header"
        );
    }
}

/// The name that programs ask for, and that the library is never unloaded.
#[test]
fn dynamic_section() {
    for flavour in FLAVOURS {
        let library = prefix().join(format!("lib/lib{}.so", flavour.library));
        let output = run(tool("readelf", "binutils").arg("-dW").arg(library));
        let soname = format!("Library soname: [lib{}.so.0]", flavour.library);
        assert!(output.contains(&soname), "{output}");
        assert!(output.contains("NODELETE"), "{output}");
        assert!(!output.contains("RPATH") && !output.contains("RUNPATH"));
    }
}
