use std::os::unix::fs::symlink;

use super::*;

/// A folder that the tests may fill, and that is trusted: below /tmp, which is sticky.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a folder")
}

fn put(folder: &Path, name: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\n").expect("a file");
    set_mode(&path, mode);
    path
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn programs_come_in_the_order_of_their_names() {
    let folder = folder();
    for name in [
        "20-b",
        "10-z",
        "B_2",
        "100",
        "a.sh",
        "b~",
        ".hidden",
        "c.dpkg-old",
        "d e",
    ] {
        put(folder.path(), name, 0o755);
    }
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    let elsewhere = self::folder();
    symlink(
        put(elsewhere.path(), "x.sh", 0o755),
        folder.path().join("30-link"),
    )
    .expect("a link");
    let listing = list(folder.path()).expect("trusted");
    let names: Vec<_> = listing.hooks.iter().map(|hook| &*hook.name).collect();
    assert_eq!(names, ["10-z", "100", "20-b", "30-link", "B_2"]);
    assert!(listing.refused.is_empty(), "{:?}", listing.refused);
}

#[test]
fn what_others_can_write_is_refused_with_the_reason() {
    let folder = folder();
    put(folder.path(), "fine", 0o755);
    put(folder.path(), "group", 0o775);
    put(folder.path(), "world", 0o757);
    put(folder.path(), "README", 0o644);
    symlink("/nowhere", folder.path().join("dangling")).expect("a link");
    let elsewhere = self::folder();
    set_mode(elsewhere.path(), 0o777);
    symlink(
        put(elsewhere.path(), "x", 0o755),
        folder.path().join("link"),
    )
    .expect("a link");
    let listing = list(folder.path()).expect("trusted");
    assert_eq!(listing.hooks.len(), 1, "{:?}", listing.hooks);
    let said: Vec<_> = listing
        .refused
        .iter()
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    for (index, part) in [
        (0, "README is not executable"),
        (1, "No such file"),
        (2, "others than its owner can write to"),
        (3, "mode 0777"),
        (4, "mode 0757"),
    ] {
        assert!(said[index].contains(part), "{part}: {said:?}");
    }

    for mode in [0o775, 0o757, 0o1777] {
        set_mode(folder.path(), mode);
        let refusal = list(folder.path()).expect_err("refused").to_string();
        assert!(
            refusal.contains("others than its owner can write to"),
            "{refusal}"
        );
    }
}

#[test]
fn a_folder_in_one_that_others_can_write_to_is_refused() {
    let outer = folder();
    let inner = outer.path().join("hooks.d");
    fs::create_dir(&inner).expect("a folder");
    set_mode(outer.path(), 0o777);
    assert!(matches!(list(&inner), Err(Refusal::Writable { .. })));
    set_mode(outer.path(), 0o755);
    assert!(list(&inner).expect("trusted").hooks.is_empty());
    assert!(matches!(
        list(&outer.path().join("none")),
        Err(Refusal::System(_))
    ));
}

#[test]
fn there_is_a_bound() {
    let folder = folder();
    for number in 0..MOST + 3 {
        put(folder.path(), &format!("{number:03}"), 0o755);
    }
    let listing = list(folder.path()).expect("trusted");
    assert_eq!((listing.hooks.len(), listing.refused.len()), (MOST, 3));
}
