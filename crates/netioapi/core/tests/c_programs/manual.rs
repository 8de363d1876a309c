//! The manual pages.

use std::path::{Path, PathBuf};

use crate::compile::{Compiler, FLAVOURS, prefix, run, tool, work};

fn pages() -> Vec<PathBuf> {
    let folder = prefix().join("share/man/man3");
    let mut pages: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.sort();
    pages
}

/// A page for every function, under its name.
#[test]
fn every_function_has_a_page() {
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../netio/symbols.map");
    let map = std::fs::read_to_string(map).unwrap();
    let names: Vec<String> = pages()
        .iter()
        .map(|page| page.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let functions: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix('\t')?.strip_suffix(';'))
        .filter(|name| *name != "*")
        .collect();
    assert_eq!(functions.len(), 11);
    for name in &functions {
        assert!(names.iter().any(|page| page == name), "no page for {name}");
    }
    assert_eq!(names.len(), functions.len());
}

/// mandoc has nothing to say against them.
#[test]
fn pages_are_well_formed() {
    for page in pages() {
        run(tool("mandoc", "mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(page));
    }
}

/// The examples of the README, of the guide and of the manual compile as they are printed.
#[test]
fn examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let guide = std::fs::read_to_string(root.join("docs/notifications.md")).unwrap();
    let page = root.join("docs/man/NotifyTeredoPortChange.3");
    let page = std::fs::read_to_string(page).unwrap().replace("\\e", "\\");
    let (_, page) = page.split_once(".Sh EXAMPLES\n").unwrap();
    for (name, text, begin, end) in [
        ("readme", &*readme, "```c\n", "```"),
        ("guide", &*guide, "```c\n", "```"),
        ("page", page, ".Bd -literal\n", ".Ed"),
    ] {
        let (_, text) = text.split_once(begin).unwrap();
        let (text, _) = text.split_once(end).unwrap();
        let file = work().join(format!("example-{name}.c"));
        std::fs::write(&file, text).unwrap();
        for compiler in Compiler::ALL {
            compiler.object(FLAVOURS[1], &file);
        }
    }
}
