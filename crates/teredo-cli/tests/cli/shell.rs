//! The command line as scripts see it: both outputs, and the exit codes.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Ended, end, finish, finish_into, run, teredo};

const COMMANDS: [&str; 25] = [
    "client",
    "server",
    "relay",
    "firewall",
    "announce",
    "publish",
    "hooks",
    "status",
    "top",
    "metrics",
    "doctor",
    "port",
    "monitor",
    "rebind",
    "stop",
    "start",
    "address",
    "probe",
    "trace",
    "explain",
    "lab",
    "secret",
    "config",
    "completions",
    "man",
];

#[test]
fn help_is_data_and_names_every_command() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in COMMANDS {
        assert!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{command} is missing:\n{}",
            help.stdout
        );
        let own = run(&[command, "--help"]);
        assert_eq!((own.code, own.stderr.as_str()), (0, ""), "{command}");
        assert!(
            own.stdout.contains(&format!("Usage: teredo {command}")),
            "{}",
            own.stdout
        );
        assert!(
            own.stdout.contains("--socket <PATH>") && own.stdout.contains("--config <FILE>"),
            "{}",
            own.stdout
        );
    }
    for promise in [
        "Exit status:",
        "124  a wait ran out of time",
        "TEREDO_SOCKET",
        "/run/teredo/teredo.sock",
    ] {
        assert!(
            help.stdout.contains(promise),
            "{promise} is missing:\n{}",
            help.stdout
        );
    }
}

#[test]
fn the_version_is_data() {
    let version = run(&["--version"]);
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (0, concat!("teredo ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn a_wrong_command_line_is_one_line_a_hint_and_2() {
    for arguments in [
        &["--frobnicate"][..],
        &["frobnicate"],
        &["status", "--jsn"],
        &["port", "--timeout", "soon"],
        &["monitor", "--events", "colour"],
        &["rebind", "--port", "0"],
        &["address"],
        &["address", "decode", "192.0.2.1"],
        &["client"],
        &["server"],
        &[
            "server",
            "--address",
            "192.0.2.1",
            "--secondary",
            "192.0.2.1",
        ],
        &["firewall", "--set", "filter ports"],
        &["lab", "--nat", "broken"],
    ] {
        let Ended {
            code,
            stdout,
            stderr,
        } = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        let lines: Vec<_> = stderr.lines().collect();
        assert!(
            matches!(lines[..], [what, hint] if what.starts_with("teredo: ") && hint.starts_with("hint: ")),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn arguments_that_are_not_text_are_refused_like_others() {
    let odd = OsStr::from_bytes(b"\xff");
    for arguments in [&["status"][..], &["explain"], &[]] {
        let ended = finish(teredo(arguments).arg(odd));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (2, ""),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn without_a_service_the_exit_code_is_5_and_the_hint_says_how_to_start_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("absent.sock");
    for arguments in [
        &[][..],
        &["status"],
        &["port"],
        &["monitor"],
        &["rebind"],
        &["stop"],
        &["start"],
    ] {
        let ended = finish(teredo(arguments).env("TEREDO_SOCKET", &socket));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (5, ""),
            "{arguments:?}"
        );
        let first = format!("teredo: cannot connect to {}: ", socket.display());
        assert!(ended.stderr.starts_with(&first), "{}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("hint: start a client with 'teredo client --server HOST'"),
            "{}",
            ended.stderr
        );
    }
}

/// N-18: a group that does not exist cannot control the daemon, and a typing error must not go unnoticed.
#[test]
fn a_group_that_does_not_exist_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let ended = run(&[
        "--socket",
        socket.to_str().expect("text"),
        "client",
        "--server",
        "192.0.2.1",
        "--group",
        "no-such-group",
    ]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stderr.contains("no group 'no-such-group'"),
        "{ended:?}"
    );
    assert!(!socket.exists());
}

#[test]
fn the_socket_option_wins_over_the_environment() {
    let mut command = teredo(&["--socket", "/nonexistent/option.sock", "port"]);
    let ended = finish(command.env("TEREDO_SOCKET", "/nonexistent/env.sock"));
    assert!(
        ended.stderr.contains("/nonexistent/option.sock"),
        "{}",
        ended.stderr
    );
}

#[test]
fn an_empty_socket_in_the_environment_is_none() {
    let ended = finish(teredo(&["port", "--wait", "--timeout", "0"]).env("TEREDO_SOCKET", ""));
    assert!(
        !ended.stderr.contains("a value is required"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_wait_that_runs_out_of_time_is_124() {
    let ended = run(&[
        "port",
        "--wait",
        "--timeout",
        "0.05",
        "--socket",
        "/nonexistent/teredo.sock",
    ]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (124, ""),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .contains("waiting for the service on /nonexistent/teredo.sock"),
        "{}",
        ended.stderr
    );
}

/// RFC 6081 figure 2, and an address with the cone bit.
#[test]
fn addresses_are_decoded_in_clear() {
    let ended = run(&["address", "decode", "2001:0:4136:e378:8000:63bf:3fff:fdd2"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(
        ended.stdout,
        "\
Address: 2001:0:4136:e378:8000:63bf:3fff:fdd2
 Server: 65.54.227.120
  Flags: 0x8000    cone: yes    random bits: 0x0000
 Mapped: 192.0.2.45:40000
"
    );

    let ended = run(&[
        "address",
        "decode",
        "--json",
        "2001:0000:cb00:7178:0000:efff:3fff:fdfe",
    ]);
    let json: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    assert_eq!(json["schema"], "teredo.address/1");
    assert_eq!(json["address"], "2001:0:cb00:7178:0:efff:3fff:fdfe");
    assert_eq!(json["server"], "203.0.113.120");
    assert_eq!(json["mapped"], "192.0.2.1:4096");
    assert_eq!(
        (&json["flags"], &json["cone"]),
        (&Value::from(0), &Value::from(false))
    );

    let foreign = run(&["address", "decode", "2001:db8::1"]);
    assert_eq!((foreign.code, foreign.stdout.as_str()), (1, ""));
    assert!(
        foreign
            .stderr
            .contains("2001:db8::1 is not a Teredo address"),
        "{}",
        foreign.stderr
    );
}

#[test]
fn addresses_are_encoded() {
    for (server, mapped, flags, address) in [
        (
            "203.0.113.120",
            "192.0.2.1:4096",
            "0",
            "2001:0:cb00:7178:0:efff:3fff:fdfe",
        ),
        (
            "198.51.100.118",
            "192.0.2.10:8192",
            "0x0000",
            "2001:0:c633:6476:0:dfff:3fff:fdf5",
        ),
        (
            "65.54.227.120",
            "192.0.2.45:40000",
            "8000",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ),
    ] {
        let ended = run(&[
            "address", "encode", "--server", server, "--mapped", mapped, "--flags", flags,
        ]);
        assert_eq!((ended.code, ended.stdout.trim_end()), (0, address));
    }
}

#[test]
fn codes_are_explained() {
    let ended = run(&["explain", "0xC00000A3"]);
    assert_eq!(ended.code, 0);
    assert!(
        ended.stdout.contains("STATUS_DEVICE_NOT_READY") && ended.stdout.contains("next:"),
        "{}",
        ended.stdout
    );
    assert!(run(&["explain", "124"]).stdout.contains("ran out of time"));
    assert!(
        run(&["explain", "spoofed_source"])
            .stdout
            .contains("RFC 4380")
    );

    let unknown = run(&["explain", "self_lop"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
    assert!(
        unknown.stderr.contains("did you mean 'self_loop'?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn no_colour_without_a_terminal_and_never_under_no_color() {
    let escape = '\u{1b}';
    let colours = |variables: &[(&str, &str)]| {
        let mut failing = teredo(&["port", "--socket", "/nonexistent/teredo.sock"]);
        let failing = finish(failing.envs(variables.iter().copied()));
        let helping = finish(teredo(&["--help"]).envs(variables.iter().copied()));
        (
            failing.stderr.contains(escape),
            helping.stdout.contains(escape),
        )
    };
    assert_eq!(colours(&[]), (false, false));
    assert_eq!(
        colours(&[("CLICOLOR_FORCE", "1")]),
        (true, true),
        "else the next line would prove nothing"
    );
    assert_eq!(
        colours(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]),
        (false, false)
    );
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    for arguments in [&["--help"][..], &["completions", "bash"], &["explain", "0"]] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let ended = finish_into(&mut teredo(arguments), writer);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (0, ""),
            "{arguments:?}"
        );
    }
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let status = teredo(&["address", "decode", "::"])
        .stderr(writer)
        .status()
        .expect("starts");
    assert_eq!(
        status.code(),
        Some(1),
        "the exit code does not depend on who listens"
    );
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("every Linux has /dev/full");
    let ended = finish_into(&mut teredo(&["completions", "zsh"]), full);
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .stderr
            .starts_with("teredo: cannot write to standard output: No space left"),
        "{}",
        ended.stderr
    );
}

/// `teredo monitor | head -1` must end when `head` does, even if no further event comes.
#[test]
fn a_waiting_command_ends_with_its_reader() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut command = teredo(&[
        "port",
        "--wait",
        "--timeout",
        "10",
        "--socket",
        "/nonexistent/teredo.sock",
    ]);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // The command holds the other end of this pipe as well.
    drop(command);
    drop(reader);
    let ended = end(child);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// docs/settings.md shows every key that a file may have, in a configuration that is valid.
#[test]
fn the_page_of_settings_lists_every_key() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, example) = page.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("the end of the example");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("teredo.toml");
    let path = file.to_str().expect("a path in UTF-8");
    // The check reads the files of secrets.
    let secret = folder.path().join("secret");
    fs::write(&secret, "alice:dHdlbnR5IGJ5dGVzIG9mIGtleSE=\n").expect("write");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a mode");
    let secret = secret.to_str().expect("a path in UTF-8");
    let there = example
        .replace("\"/etc/teredo/secret\"", &format!("\"{secret}\""))
        .replace("\"/etc/teredo/secrets\"", &format!("\"{secret}\""));
    fs::write(&file, there).expect("write");
    let good = run(&["config", "check", path]);
    assert_eq!(good.code, 0, "{}", good.stderr);

    for section in ["client", "server", "relay", "firewall"] {
        let (_, keys) = example
            .split_once(&format!("[{section}]\n"))
            .unwrap_or_else(|| panic!("no section {section}"));
        let (keys, _) = keys.split_once("\n[").unwrap_or((keys, ""));
        fs::write(&file, format!("[{section}]\nxyzzyxyzzyxyzzy = 1\n")).expect("write");
        let bad = run(&["config", "check", path]);
        let (_, known) = bad
            .stderr
            .trim()
            .split_once("hint: known keys: ")
            .expect("the known keys");
        for key in known.split(", ") {
            assert!(
                keys.lines()
                    .any(|line| line.starts_with(&format!("{key} = "))),
                "the page lacks '{key}' under [{section}]"
            );
        }
    }
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(&["completions", shell]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        assert!(
            ended.stdout.contains("port-restricted"),
            "{shell} does not know the kinds of NAT"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path in UTF-8");
    assert_eq!(run(&["man", path]).code, 0);
    for page in ["teredo.1", "teredo-client.1", "teredo-address-decode.1"] {
        let text = fs::read_to_string(folder.path().join(page)).expect("a manual page");
        assert!(text.contains(".TH"), "{page}");
    }
    let further = folder.path().join("share/man1");
    let further_path = further.to_str().expect("a path in UTF-8");
    assert_eq!(run(&["man", further_path]).code, 0);
    assert!(further.join("teredo.1").exists(), "the folder is made");
    let nowhere = run(&["man", "/proc/nonexistent"]);
    assert_eq!(nowhere.code, 1);
    assert!(
        nowhere
            .stderr
            .starts_with("teredo: cannot write manual pages to /proc/nonexistent: ")
            && nowhere.stderr.contains("\nhint: "),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn a_wrong_rust_log_is_named() {
    let ended = finish(teredo(&["explain", "0"]).env("RUST_LOG", "teredo=loud"));
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.starts_with("teredo: cannot use RUST_LOG: "),
        "{}",
        ended.stderr
    );
}
