use super::*;

const TOOLCHAINS: &str = "\
stable-x86_64-unknown-linux-gnu (active, default)
1.8-x86_64-unknown-linux-gnu
1.88.0-x86_64-unknown-linux-gnu
1.95.0-x86_64-unknown-linux-gnu
";

#[test]
fn a_toolchain_is_found_by_its_version() {
    let found = |minor| toolchain(TOOLCHAINS, &Version::new(1, minor, 0));
    assert_eq!(found(88).unwrap(), "1.88.0-x86_64-unknown-linux-gnu");
    assert_eq!(found(8).unwrap(), "1.8-x86_64-unknown-linux-gnu");
    assert_eq!(found(9), None);
}

/// A workspace with a dependency, as cargo describes it.
fn workspace() -> Metadata {
    let package = |name: &str, fields: serde_json::Value| {
        let mut package = serde_json::json!({
            "name": name, "version": "0.1.0", "id": name, "dependencies": [], "targets": [],
            "features": {}, "manifest_path": format!("/{name}/Cargo.toml"),
        });
        let more = fields.as_object().unwrap().clone();
        package.as_object_mut().unwrap().extend(more);
        package
    };
    let complete = serde_json::json!({
        "description": "d", "license": "MIT", "readme": "README.md", "keywords": ["k"],
        "categories": ["c"], "metadata": { "docs": { "rs": {} } },
    });
    let metadata = serde_json::json!({
        "packages": [
            package("complete", complete),
            package("bare", serde_json::json!({ "description": "d" })),
            package("private", serde_json::json!({ "publish": [] })),
            package("dependency", serde_json::json!({ "rust_version": "1.89" })),
        ],
        "workspace_members": ["complete", "bare", "private"],
        "workspace_root": "/", "target_directory": "/target", "version": 1,
    });
    serde_json::from_value(metadata).unwrap()
}

#[test]
fn private_crates_and_dependencies_are_not_published() {
    let workspace = workspace();
    assert_eq!(
        selection(&published(&workspace)),
        ["-p", "complete", "-p", "bare"]
    );
}

#[test]
fn a_published_crate_describes_itself() {
    let workspace = workspace();
    let crates = published(&workspace);
    assert_eq!(lacking(crates[0]), [""; 0]);
    assert_eq!(
        lacking(crates[1]),
        [
            "license",
            "readme",
            "keywords",
            "categories",
            "package.metadata.docs.rs"
        ]
    );
}

#[test]
fn a_dependency_may_not_need_a_newer_rust() {
    let newer = |minor| newer(&workspace(), &Version::new(1, minor, 0));
    assert_eq!(newer(88), ["dependency 0.1.0"]);
    assert_eq!(newer(89), [""; 0]);
}

/// The compiler names a file by its path from the root, or from `/` if the crate is read from there.
#[test]
fn the_sources_of_a_crate_are_in_its_dep_info() {
    let text = "/target/debug/deps/a-1.d: crates/a/src/lib.rs\n\ncrates/a/src/lib.rs:\n\
        crates/a/src/../../b/some\\ text:\nCargo.toml:\n/root/clippy.toml:\n/root/c/d.rs:\n/elsewhere/e.rs:\n/root/target/debug/build/f.rs:\n\
        # env-dep:CARGO_PKG_VERSION=0.1.0\n";
    let found = sources::in_repository(text, Path::new("/root"));
    let meant = ["crates/a/src/lib.rs", "crates/b/some text", "c/d.rs"];
    assert_eq!(found, meant.into_iter().map(PathBuf::from).collect());
}
