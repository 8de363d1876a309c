use super::*;

#[test]
fn a_program_is_found_in_any_folder_of_the_path() {
    assert_eq!(find(&"/nowhere:/bin".into(), "sh"), Some("/bin/sh".into()));
    assert_eq!(find(&"/nowhere:/bin".into(), "no-such-program"), None);
}

#[test]
fn the_search_path_holds_the_system_folders_once() {
    let folders: Vec<PathBuf> = std::env::split_paths(&search_path()).collect();
    assert_eq!(
        folders
            .iter()
            .filter(|folder| *folder == Path::new("/usr/sbin"))
            .count(),
        1
    );
}

#[test]
fn every_tool_says_what_it_is_for() {
    for tool in TEST.iter().chain(COMPARE) {
        assert!(
            !tool.purpose.is_empty() && !tool.package.is_empty(),
            "{}",
            tool.program
        );
    }
}

#[test]
fn another_patch_release_fits() {
    for said in ["mdbook v0.5.4\n", "mdbook 0.5.12"] {
        assert!(does_fit(said, "0.5.4"), "{said}");
    }
    for said in ["mdbook v0.4.52", "mdbook v0.50.1", "mdbook v10.5.4", ""] {
        assert!(!does_fit(said, "0.5.4"), "{said}");
    }
}
