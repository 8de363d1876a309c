use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// `twenty bytes of key!` in base64.
const SECRET: &str = "dHdlbnR5IGJ5dGVzIG9mIGtleSE=";

fn parsed(text: &str) -> Result<Vec<Entry>, String> {
    parse(Path::new("secret"), text.as_bytes()).map_err(|error| error.to_string())
}

fn reported(error: SecretError) -> (Exit, String) {
    let failure = Failure::from(error);
    let mut bytes = Vec::new();
    failure.report(anstream::StripStream::new(&mut bytes));
    (failure.exit(), String::from_utf8(bytes).expect("text"))
}

#[test]
fn lines_are_read() {
    let text = format!("# a comment\n\n alice:{SECRET}\r\nbob@home:{SECRET}\tretired\n");
    let entries = parsed(&text).expect("two entries");
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.line,
                entry.identifier.to_string(),
                entry.word.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (3, "alice".to_owned(), None),
            (4, "bob@home".to_owned(), Some("retired"))
        ]
    );
    let signed = entries[0].secret.sign([1; 8], 0, b"packet");
    assert_eq!(
        signed,
        Secret::new(b"twenty bytes of key!").sign([1; 8], 0, b"packet")
    );
}

/// An error names the line and the fault, and never quotes the line.
#[test]
fn faults_are_named_without_the_secret() {
    for (line, fault) in [
        (SECRET.to_owned(), "the colon is missing"),
        (format!(":{SECRET}"), "a name has 1 to 255 bytes"),
        (
            format!("{}:{SECRET}", "n".repeat(256)),
            "a name has 1 to 255 bytes",
        ),
        (format!("al ice:{SECRET}"), "without colons and spaces"),
        ("alice:".to_owned(), "no secret after the colon"),
        (
            "alice:dHdlbnR5IGJ5dGVzIG9mIGtleSE".to_owned(),
            "not in base64",
        ),
        ("alice:dHdlbnR5*".to_owned(), "not in base64"),
        ("alice:dHdlbnR5".to_owned(), "has 6 bytes"),
        (
            format!("alice:{}", Base64::encode_string(&[7; 65])),
            "has 65 bytes",
        ),
        (format!("alice:{SECRET} a b"), "more than one word"),
    ] {
        let error = parsed(&format!("\n{line}\n")).expect_err(&line);
        assert!(
            error.contains("secret:2: ") && error.contains(fault),
            "{line}: {error}"
        );
        assert!(!error.contains("dHdl"), "{error}");
    }
    assert!(
        parsed("# nobody\n")
            .expect_err("empty")
            .contains("no secret in")
    );
    assert!(parsed("alice:\u{fffd}").is_err());
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, format!("alice:{SECRET}\n")).expect("a file");
    let is_root = geteuid().is_root();
    for (mode, good) in [
        (0o600, true),
        (0o400, true),
        (0o640, is_root),
        (0o644, false),
        (0o604, false),
        (0o620, false),
        (0o660, false),
        (0o602, false),
        (0o777, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        match read(&path) {
            Ok(entries) => assert!(good && entries.len() == 1, "{mode:o}"),
            Err(error) => {
                let (exit, said) = reported(error);
                assert!(!good, "{mode:o}: {said}");
                assert_eq!(exit, Exit::NotPermitted);
                assert!(
                    said.contains("by other users") && said.contains("chmod 600"),
                    "{said}"
                );
            }
        }
    }
}

/// The file of another user, who could change it.
#[test]
fn the_owner_is_root_or_oneself() {
    let path = Path::new("secret");
    let own = geteuid().as_raw();
    assert!(check(path, true, 0o100600, own).is_ok());
    assert!(check(path, true, 0o100640, 0).is_ok());
    let (exit, said) = reported(check(path, true, 0o100600, 4711).expect_err("another's"));
    assert_eq!(exit, Exit::NotPermitted);
    assert!(
        said.contains("uid 4711") && said.contains("chown root"),
        "{said}"
    );
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let refused = |path: &Path| reported(read(path).expect_err("refused"));

    assert!(refused(folder.path()).1.contains("is not a regular file"));
    let fifo = path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    assert!(refused(&fifo).1.contains("is not a regular file"));
    let (exit, said) = refused(&path("missing"));
    assert_eq!(exit, Exit::Failed);
    assert!(said.contains("teredo secret new"), "{said}");

    let file = path("file");
    let write = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    };
    write(b"");
    assert!(refused(&file).1.contains("there is no secret in"));
    write(&vec![b'\n'; 1 + MAX_FILE as usize]);
    assert!(refused(&file).1.contains("more than 1048576 bytes"));
}
