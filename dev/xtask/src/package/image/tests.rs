use super::*;

/// A folder with the packages of an earlier version as well makes the image of this one.
#[test]
fn the_image_has_the_package_that_was_just_made() {
    let packages = [
        "out/libteredo0_0.2.0-1_amd64.deb",
        "out/teredo-firewall_0.2.0-1_amd64.deb",
        "out/teredo_0.2.0-1_amd64.deb",
    ];
    let packages = packages.map(PathBuf::from);
    let text = instructions(&tree::read(SOURCE).unwrap(), &packages).unwrap();
    let copied: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("COPY"))
        .collect();
    assert_eq!(copied, ["COPY teredo_0.2.0-1_amd64.deb /tmp/"]);
    assert!(instructions("FROM scratch", &packages).is_err());
}

/// Root has only the capability of its role, and writes to no folder of others. A client remembers its port in the one of
/// `$STATE_DIRECTORY`.
#[test]
fn root_owns_the_folders_that_the_program_writes_to() {
    let text = tree::read(SOURCE).unwrap();
    let mut lines = text.lines();
    let state = lines
        .find_map(|line| line.strip_prefix("ENV STATE_DIRECTORY="))
        .unwrap();
    for folder in [state, "/run/teredo"] {
        let is_made = |line: &str| {
            line.contains("install --directory --owner root --group teredo ")
                && line.split_whitespace().any(|word| word == folder)
        };
        assert!(text.lines().any(is_made), "{folder}");
    }
}
