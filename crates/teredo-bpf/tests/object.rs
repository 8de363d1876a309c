//! The committed objects are those of the sources.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_object_of_the_path_is_that_of_the_sources() {
    assert_built("path.o");
}

#[test]
fn the_object_of_the_firewall_is_that_of_the_sources() {
    assert_built("admit.o");
}

#[test]
fn the_object_of_the_server_is_that_of_the_sources() {
    assert_built("server.o");
}

fn assert_built(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(root.join("programs/build"))
        .arg(&object)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "it takes Debian 12's packages clang-14 and llvm-14"
    );
    let built = fs::read(object).unwrap();
    let kept = fs::read(root.join("object").join(name)).unwrap();
    assert!(built == kept, "run programs/build object/{name}");
}
