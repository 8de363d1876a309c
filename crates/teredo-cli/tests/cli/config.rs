//! `teredo config`, and the configuration as the daemons take it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Ended, finish, run, teredo};

/// A main file, and a folder for its drop-ins.
struct Files {
    folder: TempDir,
    main: PathBuf,
}

impl Files {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let main = folder.path().join("teredo.toml");
        fs::write(&main, text).expect("write");
        fs::create_dir(folder.path().join("teredo.toml.d")).expect("a folder");
        Self { folder, main }
    }

    fn drop_in(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join("teredo.toml.d").join(name);
        fs::write(&path, text).expect("write");
        path
    }

    fn secret(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, "alice:dHdlbnR5IGJ5dGVzIG9mIGtleSE=\n").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    fn check(&self) -> Ended {
        run(&["config", "check", text(&self.main)])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn good_files_are_listed() {
    let files = Files::new("[client]\nservers = [\"192.0.2.1\"]\n");
    let drop_in = files.drop_in("10-port.toml", "[client]\nport = 40001\n");
    let good = files.check();
    let (main, drop_in) = (text(&files.main), text(&drop_in));
    assert_eq!(
        (good.code, good.stdout, good.stderr.as_str()),
        (0, format!("{main}: ok\n{drop_in}: ok\n"), "")
    );
}

#[test]
fn one_mistake_is_one_line_and_a_hint() {
    let files = Files::new("[client]\nservers = [\"192.0.2.1\"]\n");
    let drop_in = files.drop_in("10-port.toml", "[client]\n\nprot = 40001\n");
    let path = text(&files.main);
    for arguments in [
        &["config", "check", path][..],
        &["config", "check", "--config", path],
        &["config", "show", "--config", path],
        &["client", "--config", path],
    ] {
        let bad = run(arguments);
        assert_eq!((bad.code, bad.stdout.as_str()), (1, ""), "{arguments:?}");
        let expected = format!(
            "teredo: {}:3: unknown key 'prot'\nhint: did you mean 'port'?\n",
            drop_in.display()
        );
        assert_eq!(bad.stderr, expected, "{arguments:?}");
    }
}

/// The command line may have what is missing, so these are no mistakes; each is named with its line.
#[test]
fn settings_that_will_not_do_alone_are_warned_of() {
    for (settings, warning) in [
        (
            "[client]\nservers = [\"192.0.2.1\", \"127.0.0.1\"]",
            "2: a client does not use server 127.0.0.1, which",
        ),
        (
            "[client]\nport = 7",
            "2: [client] does not set 'servers', so the command line must",
        ),
        (
            "[server]\n\nworkers = 1",
            "3: [server] does not set 'address', so",
        ),
        (
            "[server]\naddress = \"10.0.0.1\"",
            "2: a server does not start at 10.0.0.1, which",
        ),
        (
            "[server]\npairs = [{ address = \"192.0.2.9\", secondary = \"100.64.0.1\" }]",
            "2: a server does not start at 100.64.0.1",
        ),
        ("[relay]\nport = 7", "2: [relay] does not set 'address', so"),
        (
            "[relay]\naddress = \"224.0.0.1\"",
            "2: a relay does not start at 224.0.0.1, which",
        ),
        (
            "[relay]\nhost = true\ngroup = \"no-such\"",
            "3: this host has no group 'no-such'",
        ),
        (
            "[client]\nservers = [\"192.0.2.1\"]\nigd = true\nnat_traversal = \"rfc4380\"",
            "3: 'igd' brings nothing with 'nat_traversal' = \"rfc4380\"",
        ),
        (
            "[client]\nservers = [\"192.0.2.1\", \"192.0.2.9\", \"192.0.2.1\"]",
            "2: server 192.0.2.1 is named twice",
        ),
        (
            "[firewall]\nmetrics = \"127.0.0.1:9545\"\n[relay]\nhost = true\nmetrics = \"9545\"",
            "2: [relay] has its metrics at this port, too",
        ),
        (
            "[firewall]\nset = \"inet filter ports\"\nbackend = \"ufw\"",
            "3: 'backend' = \"ufw\" has no effect",
        ),
    ] {
        let files = Files::new(settings);
        let checked = files.check();
        let expected = format!("teredo: warning: {}:{warning}", text(&files.main));
        assert_eq!(checked.code, 0, "{settings}");
        assert!(
            checked.stderr.starts_with(&expected),
            "{settings}: {}",
            checked.stderr
        );
        assert_eq!(
            checked.stderr.lines().count(),
            1,
            "{settings}: {}",
            checked.stderr
        );
    }
    for good in [
        "[client]\nservers = [\"10.0.0.1\", \"teredo.example\"]\nallow_private = true",
        "[server]\naddress = \"10.0.0.1\"\nallow_private = true",
        "[relay]\nhost = true\ngroup = \"root\"",
        "[firewall]\nallow_inbound = [\"22/tcp\"]",
    ] {
        let checked = Files::new(good).check();
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{good}");
    }
}

/// A user with write permission on the file decides what root's daemons do.
#[test]
fn a_file_of_everybodys_is_warned_of() {
    let files = Files::new("[firewall]\nallow_inbound = [\"22/tcp\"]");
    fs::set_permissions(&files.main, fs::Permissions::from_mode(0o666)).unwrap();
    let checked = files.check();
    let expected = format!(
        "teredo: warning: {}: anybody may write to it",
        text(&files.main)
    );
    assert_eq!(checked.code, 0);
    assert!(checked.stderr.starts_with(&expected), "{}", checked.stderr);
}

/// A service manager is told that another start does not help: of a key, a group and a file of secrets.
#[test]
fn faulty_settings_have_an_exit_code_for_service_managers() {
    let secrets = "secrets = \"/nonexistent\"";
    for line in ["prot = 1", "group = \"nobody-has-it\"", secrets] {
        let files = Files::new(&format!("[client]\nservers = [\"192.0.2.1\"]\n{line}\n"));
        let path = text(&files.main);
        let socket = files.folder.path().join("teredo.sock");
        let arguments = ["--socket", text(&socket), "--config", path];
        let by_hand = run(&[&arguments[..], &["client"]].concat());
        let mut service = teredo(&[&arguments[..], &["client"]].concat());
        let service = finish(service.env("NOTIFY_SOCKET", "@nobody-listens"));
        assert_eq!(
            [by_hand.code, service.code],
            [1, 78],
            "{line}: {}",
            by_hand.stderr
        );
        let mut check = teredo(&["config", "check", path]);
        let check = finish(check.env("NOTIFY_SOCKET", "@nobody-listens"));
        assert!(check.code <= 1, "{line}: {}", check.code);
    }
}

#[test]
fn a_named_file_must_exist() {
    let absent = run(&["config", "check", "/nonexistent/teredo.toml"]);
    assert_eq!((absent.code, absent.stdout.as_str()), (1, ""));
    let said = "cannot read /nonexistent/teredo.toml: No such file";
    assert!(absent.stderr.contains(said), "{}", absent.stderr);
}

/// The whole list, from `check` and from every daemon.
#[test]
fn every_mistake_is_named_in_one_run() {
    let files = Files::new(
        "[client]\nservers = ['a b']\nport = 0\n[relay]\nhost = true\nserve = ['2001:db8::/32']\n",
    );
    let drop_in = files.drop_in("10.toml", "[server]\nworkers = 'many'\n[clinet]\n");
    let (main, drop_in) = (text(&files.main), text(&drop_in));
    let places = [
        format!("{main}:2: client.servers: 'a b': a server is"),
        format!("{main}:3: client.port: 0 is not a port"),
        format!("{drop_in}:2: server.workers: invalid type"),
        format!("{drop_in}:3: unknown key 'clinet'; did you mean 'client'?"),
    ];
    for command in ["client", "server", "relay", "firewall"] {
        let bad = run(&[command, "--config", main]);
        assert_eq!((bad.code, bad.stdout.as_str()), (1, ""), "{command}");
        let lines: Vec<_> = bad.stderr.lines().collect();
        assert_eq!(lines.len(), places.len() + 2, "{}", bad.stderr);
        for (line, place) in lines[1..].iter().zip(&places) {
            assert!(line.starts_with(place), "{line} is not {place}");
        }
        let hint = format!("hint: correct each of these, then try 'teredo config check {main}'");
        assert_eq!(lines.last(), Some(&hint.as_str()));
    }
    // The keys of [relay] may be overridden by options, so only the check judges them together.
    let check = files.check();
    assert_eq!(check.code, 1);
    let conflict = format!("{main}:5: 'host' and 'serve' under [relay]");
    assert!(
        check.stderr.lines().any(|line| line.starts_with(&conflict)),
        "{}",
        check.stderr
    );
}

#[test]
fn files_of_secrets_are_checked() {
    let files = Files::new("");
    let good = files.secret("good", 0o600);
    let open = files.secret("open", 0o644);
    let missing = files.folder.path().join("missing");
    let set = |client: &Path, server: &Path| {
        let (client, server) = (client.display(), server.display());
        let text =
            format!("[client]\nsecret_file = '{client}'\n[server]\nsecret_file = '{server}'\n");
        fs::write(&files.main, text).expect("write");
        files.check()
    };
    assert_eq!(set(&good, &good).code, 0);
    let bad = set(&missing, &open);
    assert_eq!(bad.code, 1, "{}", bad.stderr);
    let main = text(&files.main);
    for part in [
        format!(
            "{main}:2: client.secret_file: cannot read the secret file {}: No such file",
            missing.display()
        ),
        format!(
            "{main}:4: server.secret_file: {} can be read or changed by other users (mode 0644); chmod 600",
            open.display()
        ),
    ] {
        assert!(bad.stderr.contains(&part), "{part}: {}", bad.stderr);
    }
    let one = set(&good, &open);
    assert_eq!(one.code, 1);
    let hint = format!("hint: chmod 600 {}\n", open.display());
    assert!(one.stderr.ends_with(&hint), "{}", one.stderr);
    assert!(!one.stderr.contains("dHdl"), "{}", one.stderr);

    // What a daemon would refuse in it.
    let unknown = files.secret("unknown", 0o600);
    let line = fs::read_to_string(&unknown).expect("read");
    fs::write(&unknown, format!("{} 192.0.2.1\n", line.trim_end())).expect("write");
    assert_eq!(
        set(&unknown, &good).code,
        0,
        "the servers are on the command line"
    );
    let bad = set(&good, &unknown);
    let said = "only the word 'retired' may follow a secret";
    assert!(bad.stderr.contains(said), "{}", bad.stderr);
    fs::write(&unknown, line.repeat(2)).expect("write");
    let text = format!(
        "[client]\nservers = ['192.0.2.1']\nsecret_file = '{}'\n",
        unknown.display()
    );
    fs::write(&files.main, text).expect("write");
    let bad = files.check();
    let said = ":3: client.secret_file: ";
    assert!(bad.stderr.contains(said), "{}", bad.stderr);
}

#[test]
fn settings_are_shown_with_their_source() {
    let files = Files::new("[client]\nservers = ['192.0.2.1', 'b.example']\nport = 1\n");
    let drop_in = files.drop_in(
        "10.toml",
        "\n[client]\nport = 40001\nrefresh_interval = 7.5\n",
    );
    let secret = files.secret("secret", 0o600);
    let secret_file = format!("[client]\nsecret_file = '{}'\n", secret.display());
    files.drop_in("20.toml", &secret_file);
    let (main, drop_in) = (text(&files.main), text(&drop_in));

    let shown = run(&["config", "show", "--json", "--config", main]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert!(!shown.stdout.contains("dHdl"), "{}", shown.stdout);
    let json: Value = serde_json::from_str(&shown.stdout).expect("one JSON object");
    assert_eq!(json["schema"], "teredo.config/1");
    assert_eq!(json["files"][1], drop_in);
    let client = &json["client"];
    assert_eq!(client["port"]["value"], 40001);
    assert_eq!(client["port"]["source"], format!("{drop_in}:3"));
    assert_eq!(client["refresh_interval"]["value"], 7.5);
    assert_eq!(client["servers"]["value"][1], "b.example");
    assert_eq!(client["servers"]["source"], format!("{main}:2"));
    assert_eq!(client["secret_file"]["value"], text(&secret));
    assert_eq!(client["bind"]["value"], Value::Null);
    assert_eq!(client["bind"]["source"], "default");
    assert_eq!(json["relay"]["port"]["value"], 3545);

    let one = run(&["config", "show", "client", "--config", main]);
    assert_eq!(one.code, 0);
    let line = |key: &str| {
        let mut lines = one.stdout.lines();
        lines.find(|line| line.starts_with(key)).unwrap_or_default()
    };
    let words = |key| line(key).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words("port "), format!("port 40001 {drop_in}:3"));
    assert_eq!(words("native_ipv6"), "native_ipv6 dormant default");
    assert!(one.stdout.starts_with("[client]\n"), "{}", one.stdout);
    assert!(!one.stdout.contains("[server]"), "{}", one.stdout);
    let json = run(&["config", "show", "--json", "relay", "--config", main]);
    assert!(!json.stdout.contains("\"client\""), "{}", json.stdout);
}

/// A daemon would take it from this environment, too, and not from the file.
#[test]
fn a_variable_of_the_environment_is_shown_as_the_source() {
    let files = Files::new("[client]\ndata_path = 'kernel'\n[relay]\noffload = 'auto'\n");
    let show = |variables: &[(&str, &str)]| {
        let main = text(&files.main);
        let mut command = teredo(&["config", "show", "--json", "--config", main]);
        command
            .env_remove("TEREDO_DATA_PATH")
            .env_remove("TEREDO_OFFLOAD");
        command.envs(variables.iter().copied());
        finish(&mut command)
    };
    let json = |ended: &Ended| -> Value { serde_json::from_str(&ended.stdout).expect("JSON") };
    let setting = |value: &str, source: &str| json!({ "value": value, "source": source });
    let file = |line| format!("{}:{line}", files.main.display());
    let shown = json(&show(&[]));
    assert_eq!(shown["client"]["data_path"], setting("kernel", &file(2)));
    assert_eq!(shown["server"]["data_path"], setting("auto", "default"));
    let shown = json(&show(&[
        ("TEREDO_DATA_PATH", "user"),
        ("TEREDO_OFFLOAD", "off"),
    ]));
    for section in ["client", "server", "relay"] {
        let expected = setting("user", "TEREDO_DATA_PATH");
        assert_eq!(shown[section]["data_path"], expected, "{section}");
    }
    for section in ["client", "relay"] {
        assert_eq!(shown[section]["offload"], setting("off", "TEREDO_OFFLOAD"));
    }
    // As the daemon says it.
    let wrong = show(&[("TEREDO_DATA_PATH", "usr")]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("'usr'"), "{}", wrong.stderr);
}

/// Debian's own files, and what a check says of their translations.
#[test]
fn configurations_of_miredo_are_translated() {
    let files = Files::new("");
    let original = files.folder.path().join("miredo.conf");
    let import = |contents: &[u8]| {
        fs::write(&original, contents).expect("write");
        run(&["config", "import-miredo", text(&original)])
    };
    for (contents, lines) in [
        (
            "# Debian\nInterfaceName\tteredo\nServerAddress\tteredo.example.net\nSyslogFacility daemon\n",
            &[
                "[client]",
                "interface = \"teredo\"",
                "servers = [\"teredo.example.net\"]",
            ][..],
        ),
        (
            "ServerBindAddress 192.0.2.221\r\nSyslogFacility daemon\r\n",
            &["[server]", "address = \"192.0.2.221\""],
        ),
    ] {
        let ended = import(contents.as_bytes());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        for line in lines {
            assert!(
                ended.stdout.lines().any(|found| found == *line),
                "{}",
                ended.stdout
            );
        }
        let said = ": SyslogFacility 'daemon' is not translated: ";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
        fs::write(&files.main, &ended.stdout).expect("write");
        let check = files.check();
        assert_eq!(check.code, 0, "{}", check.stderr);
    }
    for (contents, reason) in [
        (&b"\x7fELF\0\0"[..], "not a text file"),
        (b"# nothing\n", "it sets nothing"),
        (b"[client]\nservers = ['a']\n", "line 1"),
    ] {
        let ended = import(contents);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{reason}");
        let expected = format!(
            "teredo: {} is no configuration of miredo: ",
            original.display()
        );
        assert!(
            ended.stderr.starts_with(&expected) && ended.stderr.contains(reason),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("\nhint: "), "{}", ended.stderr);
    }
    for (path, reason) in [
        ("/nonexistent/miredo.conf", "No such file"),
        ("/dev/zero", "more than 1048576 bytes"),
        ("/", "Is a directory"),
    ] {
        let ended = run(&["config", "import-miredo", path]);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{path}");
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    }
}

/// A variable of the environment that stands for an option is named, with its values, wherever that option is.
#[test]
fn a_wrong_variable_is_named_with_its_values() {
    let with =
        |name: &str, value: &str, arguments: &[&str]| finish(teredo(arguments).env(name, value));
    let files = Files::new("");
    let main = text(&files.main);
    let path = ("TEREDO_DATA_PATH", "auto, kernel, user");
    let offload = ("TEREDO_OFFLOAD", "auto, off");
    let log = ("TEREDO_LOG_ADDRESSES", "on, off");
    for ((name, values), arguments) in [
        (path, &["client", "--config", main][..]),
        (path, &["server", "--config", main]),
        (path, &["relay", "--config", main]),
        (path, &["lab"]),
        (path, &["config", "show", "client", "--config", main]),
        (path, &["config", "show", "--config", main]),
        (path, &["config", "check", main]),
        (offload, &["client", "--config", main]),
        (offload, &["config", "show", "--config", main]),
        (offload, &["config", "check", main]),
        (log, &["status"]),
    ] {
        let ended = with(name, "bogus", arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
        let line = format!(
            "the variable {name} of the environment is 'bogus', and its values are: {values}"
        );
        assert!(
            ended.stderr.contains(&line),
            "{arguments:?}: {}",
            ended.stderr
        );
        let hint = format!("set {name} to one of these, or unset it");
        assert!(
            ended.stderr.contains(&hint),
            "{arguments:?}: {}",
            ended.stderr
        );
        // As TEREDO_SOCKET, an empty one counts as one that is not set.
        if arguments[0] == "config" {
            let ended = with(name, "", arguments);
            assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
            assert!(!ended.stdout.contains(name), "{}", ended.stdout);
        }
    }
    // An option wins, and so its own mistake is told.
    let ended = with(
        "TEREDO_DATA_PATH",
        "bogus",
        &["client", "--data-path", "other"],
    );
    assert!(ended.stderr.contains("'other'"), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("TEREDO_DATA_PATH"),
        "{}",
        ended.stderr
    );
    // Commands without the option do not mind.
    let ended = with("TEREDO_DATA_PATH", "bogus", &["explain", "0"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}
