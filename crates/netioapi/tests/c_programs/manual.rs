//! The manual pages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::Client;
use crate::compile::{Compiler, FLAVOURS, Link, prefix, run, tool, work};

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
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../netioapi-netio/symbols.map");
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
    assert_eq!(functions.len(), 8);
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
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

/// N-19: the guide's examples follow the port.
#[test]
fn guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_to_string(root.join("docs/notifications.md")).unwrap();
    let block = |language: &str| {
        let (_, text) = guide.split_once(&format!("```{language}\n")).unwrap();
        text.split_once("```").unwrap().0.to_owned()
    };
    for flavour in FLAVOURS {
        let (file, built) = (work().join("guide.c"), work().join(flavour.package));
        std::fs::write(&file, block("c")).unwrap();
        let mut gcc = Compiler::GCC.command();
        gcc.args(flavour.cflags_of()).arg("-o").arg(&built);
        run(gcc.arg(&file).args(flavour.libraries(Link::Shared)));
        let lines = ["port 40000", "port 40001", "no port"];
        Client::new("guide").follow(&mut Command::new(built), &lines);
    }

    let client = Client::new("guide");
    let here = client.socket().to_string_lossy().into_owned();
    let text = block("python");
    assert!(text.contains(teredo_notify::DEFAULT_SOCKET));
    let text = text.replace(teredo_notify::DEFAULT_SOCKET, &here);
    let mut python = tool("python3", "python3");
    let lines = ["initial 40000", "change 40001", "delete 0"];
    client.follow(python.arg("-c").arg(text), &lines);
}
