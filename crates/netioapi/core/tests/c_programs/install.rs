//! The files that `cargo xtask install` puts in place.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::compile::{FLAVOURS, Flavour, run, tool, xtask};

/// The files below a folder, by their paths from there, with their modes; links with what they lead to.
fn files(folder: &Path) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(here) = open.pop() {
        for entry in std::fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap();
            let what = if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                format!("-> {}", target.display())
            } else if kind.is_dir() {
                open.push(path);
                continue;
            } else {
                format!("{:o}", kind.permissions().mode() & 0o7777)
            };
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            found.insert((name, what));
        }
    }
    found
}

/// The files of one of the project's folders with this extension, as they are to be found in another.
fn copied(from: &str, extension: &str, to: &str) -> Vec<(String, String)> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .join(from);
    let names = std::fs::read_dir(from)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    names
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (format!("{to}/{name}"), "644".to_owned())
        })
        .collect()
}

fn of_library(Flavour { library, .. }: Flavour) -> [(String, String); 5] {
    let version = env!("CARGO_PKG_VERSION");
    [
        (format!("lib/lib{library}.a"), "644".to_owned()),
        (
            format!("lib/lib{library}.so"),
            format!("-> lib{library}.so.0"),
        ),
        (
            format!("lib/lib{library}.so.0"),
            format!("-> lib{library}.so.{version}"),
        ),
        (format!("lib/lib{library}.so.{version}"), "755".to_owned()),
        (format!("lib/pkgconfig/{library}.pc"), "644".to_owned()),
    ]
}

/// An installation for a package puts exactly the intended files below DESTDIR, and their contents name the prefix
/// alone. A second installation over the first one changes nothing.
#[test]
fn installs_what_it_should_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut xtask = xtask();
        xtask.arg("install");
        xtask.args(["--debug", "--prefix", "/opt/teredo", "--destdir"]);
        run(xtask.arg(folder.path()));
    }
    let root = folder.path().join("opt/teredo");
    let installed = files(&root);
    assert_eq!(
        files(folder.path()).len(),
        installed.len(),
        "outside the prefix"
    );

    let program = root.join("bin/teredo");
    let pages = tempfile::tempdir().unwrap();
    run(Command::new(&program).arg("man").arg(pages.path()));
    let page = |(name, _)| (format!("share/man/man1/{name}"), "644".to_owned());
    let mut meant: BTreeSet<_> = files(pages.path()).into_iter().map(page).collect();
    assert!(meant.len() > 10, "{meant:?}");
    meant.extend(FLAVOURS.into_iter().flat_map(of_library));
    meant.extend(copied(
        "crates/netioapi/core/include",
        "h",
        "include/teredo",
    ));
    let pinned_map = ("include/teredo/teredo_port.h".to_owned(), "644".to_owned());
    meant.insert(pinned_map);
    meant.extend(copied("docs/man", "3", "share/man/man3"));
    meant.insert(("bin/teredo".to_owned(), "755".to_owned()));
    assert_eq!(installed, meant);

    for flavour in FLAVOURS {
        let description = root.join(format!("lib/pkgconfig/{}.pc", flavour.library));
        let description = std::fs::read_to_string(description).unwrap();
        assert!(
            description.starts_with("prefix=/opt/teredo\n"),
            "{description}"
        );
        assert!(!description.contains(&*folder.path().to_string_lossy()));
    }

    // Both kinds of pages are found by their names, and can be read.
    for page in ["NotifyTeredoPortChange.3", "teredo.1"] {
        let section = page.rsplit('.').next().unwrap();
        let page = root.join(format!("share/man/man{section}/{page}"));
        let text = run(tool("mandoc", "mandoc").args(["-T", "html"]).arg(&page));
        assert!(text.contains("DESCRIPTION"), "{}: {text}", page.display());
    }
}
