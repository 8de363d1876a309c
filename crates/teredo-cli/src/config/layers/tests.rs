use std::num::NonZeroU16;

use super::*;
use crate::failure::{Exit, Failure};

#[test]
fn drop_ins_replace_key_by_key_in_the_order_of_their_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("teredo.toml");
    let drop_in = directory.path().join("teredo.toml.d");
    fs::create_dir(&drop_in).expect("a directory for drop-ins");
    fs::write(
        &file,
        "[client]\nport = 1\ninterface = \"main\"\nservers = [\"a\", \"b\"]",
    )
    .expect("write");
    fs::write(drop_in.join("20-b.toml"), "[client]\nport = 3").expect("write");
    fs::write(
        drop_in.join("10-a.toml"),
        "[client]\nport = 2\nservers = [\"c\"]",
    )
    .expect("write");
    fs::write(drop_in.join("30-c.toml.bak"), "not toml").expect("write");
    std::os::unix::fs::symlink("joe@host.1:2", drop_in.join(".#20-b.toml")).expect("a lock");

    let client = Config::load(Some(&file)).expect("good files").client;
    assert_eq!(client.port.map(NonZeroU16::get), Some(3));
    assert_eq!(client.interface.as_deref(), Some("main"));
    assert_eq!(client.servers.as_deref(), Some(&["c".to_owned()][..]));
}

#[test]
fn a_named_file_must_exist() {
    let failed = Config::load(Some(Path::new("/nonexistent/teredo.toml"))).expect_err("not there");
    let said = Failure::from(failed).to_string();
    assert!(
        said.starts_with("cannot read /nonexistent/teredo.toml: No such file"),
        "{said}"
    );
}

/// One run names every mistake in every file, in the order of files and lines.
#[test]
fn every_file_is_read_to_its_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("teredo.toml");
    let drop_in = directory.path().join("teredo.toml.d");
    fs::create_dir(&drop_in).expect("a directory for drop-ins");
    fs::write(&file, "[client]\nprot = 1\nport = 0\n[relay]\nhosts = 1\n").expect("write");
    fs::write(drop_in.join("10-a.toml"), "[server]\nworkers = 0").expect("write");
    fs::write(drop_in.join("20-b.toml"), [0xff]).expect("write");
    fs::create_dir(drop_in.join("30-c.toml")).expect("a directory");

    let failure = Failure::from(Config::load(Some(&file)).expect_err("mistakes"));
    assert_eq!(failure.exit(), Exit::Failed);
    let said = failure.to_string();
    let (file, drop_in) = (file.display(), drop_in.display());
    let starts = [
        "6 mistakes in the settings:".to_owned(),
        format!("{file}:2: unknown key 'prot'; did you mean 'port'?"),
        format!("{file}:3: client.port: 0 is not a port"),
        format!("{file}:5: unknown key 'hosts'; did you mean 'host'?"),
        format!("{drop_in}/10-a.toml:2: server.workers: expected"),
        format!("{drop_in}/20-b.toml:1: the line is not UTF-8 text"),
        format!("cannot read {drop_in}/30-c.toml: "),
    ];
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{said}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line:?} is not {start:?}");
    }
}

/// The place is that of the file whose value is in force.
#[test]
fn a_key_knows_the_file_and_line_that_set_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("teredo.toml");
    let drop_in = directory.path().join("teredo.toml.d");
    fs::create_dir(&drop_in).expect("a directory for drop-ins");
    fs::write(&file, "client.port = 1\nclient.interface = 'a'\n").expect("write");
    fs::write(drop_in.join("a.toml"), "# nothing\n[client]\nport = 2").expect("write");
    let places = Config::load(Some(&file)).expect("good files").client.places;
    let place = |key| places.get(key).map(ToString::to_string);
    let expected = format!("{}/a.toml:3", drop_in.display());
    assert_eq!(place("port"), Some(expected));
    assert_eq!(place("interface"), Some(format!("{}:2", file.display())));
    assert_eq!(place("bind"), None);
}

#[test]
fn a_file_is_read_up_to_a_limit() {
    let endless = Config::load(Some(Path::new("/dev/zero"))).expect_err("endless");
    let said = Failure::from(endless).to_string();
    assert!(said.contains("more than 1048576 bytes"), "{said}");
}

/// A reload would wait for it, and the daemon do nothing else.
#[test]
fn a_fifo_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let refused = Config::load(Some(&fifo)).expect_err("a FIFO");
    let said = Failure::from(refused).to_string();
    assert!(said.contains("it is a FIFO"), "{said}");
    Config::load(Some(Path::new("/dev/null"))).expect("an empty file");
}
