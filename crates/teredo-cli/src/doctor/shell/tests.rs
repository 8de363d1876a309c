use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::*;

/// bash reads back what was quoted, and a terminal obeys none of it.
#[test]
fn words_are_read_as_they_were() {
    let _alone = crate::children::alone();
    let words = [
        "plain",
        "",
        "it's $HOME",
        "/tmp/x\x1b[2J\u{9b}31m",
        "two\nlines\r",
        "a\u{202e}b\u{2066}c\u{200b}d",
        "back\\slash' and \x07",
    ];
    for word in words {
        let quoted = quote(word);
        assert!(!quoted.contains(is_unseen), "{quoted:?}");
        let output = Command::new("bash")
            .args(["-c", &format!("printf %s {quoted}")])
            .output()
            .expect("bash");
        assert_eq!(String::from_utf8_lossy(&output.stdout), word, "{quoted}");
    }
}

/// The administrator's own drop-in stays as it is.
#[test]
fn a_setting_goes_into_a_file_of_its_own() {
    let _alone = crate::children::alone();
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("teredo.toml");
    std::fs::write(&main, "").unwrap();
    let mut seen = crate::doctor::tests::healthy();
    seen.settings.chosen = Some(main);
    let drop_ins = folder.path().join("teredo.toml.d");
    let command = seen.set("client", "servers", r#"["a%s\n.example"]"#);
    // A hardened host: the user of the unit reads it all the same.
    let script = format!("umask 077\n{command}");
    let status = Command::new("sh").args(["-e", "-c", &script]).status();
    assert!(status.unwrap().success(), "{command}");
    let files: Vec<_> = std::fs::read_dir(&drop_ins).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].file_name(), "zz-doctor-servers.toml");
    assert_eq!(
        std::fs::read_to_string(files[0].path()).unwrap(),
        "[client]\nservers = [\"a%s\\n.example\"]\n"
    );
    for (path, mode) in [(&drop_ins, 0o755), (&files[0].path(), 0o644)] {
        let permissions = std::fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o7777, mode, "{path:?}");
    }
}
