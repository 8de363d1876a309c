//! docs/metrics.md is the catalogue.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::catalogue::{ALL, Daemon};

const HEAD: &str = "\
# Metrics

`teredo metrics` prints the metrics of the local service in the OpenMetrics format. With `metrics = 9545` under
`[client]`, `[server]`, `[relay]` or `[firewall]`, or with `--metrics 9545`, a daemon serves the same at
`http://127.0.0.1:9545/metrics`. A firewall at the perimeter of a fleet has the option alone. The names, labels and units
below do not change; others may be added. Times are in seconds, sizes in bytes, and all counts begin with the daemon.

No label has an address, or anything that a peer chooses. A scrape is computed from one status.
";

fn daemons(of: &[Daemon]) -> String {
    let names = of.iter().map(|daemon| match daemon {
        Daemon::Client => "client",
        Daemon::Server => "server",
        Daemon::Relay => "relay",
        Daemon::Firewall => "firewall",
        Daemon::Perimeter => "perimeter",
    });
    names.collect::<Vec<_>>().join(", ")
}

fn page() -> String {
    let mut page = String::from(HEAD);
    for metric in ALL {
        let kind = metric.kind.as_str();
        let (name, help) = (metric.full_name(), metric.help);
        let of = daemons(metric.of);
        // Writing to a `String` cannot fail.
        let _ = write!(
            page,
            "\n## `{name}`\n\n{help}\n\n- type: {kind}\n- of: {of}\n"
        );
        for (label, values) in metric.labels {
            let _ = writeln!(page, "- `{label}`: {values}");
        }
    }
    page
}

#[test]
fn the_reference_is_up_to_date() {
    let reference = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/metrics.md"
    ));
    let made = page();
    if fs::read_to_string(reference).is_ok_and(|kept| kept == made) {
        return;
    }
    let mut new = tempfile::NamedTempFile::new().expect("a file");
    new.write_all(made.as_bytes()).expect("a place for it");
    let (_, new) = new.keep().expect("the file");
    panic!(
        "docs/metrics.md is out of date: 'cp {} docs/metrics.md' mends it",
        new.display()
    );
}

#[test]
fn names_are_unlike_and_begin_alike() {
    let mut names: Vec<_> = ALL.iter().map(|metric| metric.full_name()).collect();
    assert!(names.iter().all(|name| name.starts_with("teredo_")));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
