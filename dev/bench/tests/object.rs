//! The committed object is that of the sources.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_object_is_that_of_the_sources() {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("load.o");
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
    let kept = fs::read(root.join("object/load.o")).unwrap();
    assert!(built == kept, "run programs/build object/load.o");
}
