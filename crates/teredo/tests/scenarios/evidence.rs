//! The files that a failed test leaves: `target/sim-failures/NAME/` has the seed, the log, a capture for tshark,
//! and a ladder diagram as text and as a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use teredo_sim::Evidence;

/// Writes the files of the current test, and says so.
#[expect(
    clippy::disallowed_macros,
    reason = "the protocol does no I/O; its tests say where their files are"
)]
pub(crate) fn write(evidence: &Evidence) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("unnamed").replace("::", "-");
    let folder = folder(&name);
    // The test has failed already: that there are no files is said, and hides nothing.
    match write_to(&folder, evidence) {
        Ok(()) => eprintln!(
            "evidence in {}: {}",
            folder.display(),
            evidence.summary().trim_end()
        ),
        Err(error) => eprintln!("no evidence in {}: {error}", folder.display()),
    }
}

fn folder(name: &str) -> PathBuf {
    // Cargo's folder for the files of tests is in the target folder, wherever that is.
    let tests = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = tests.parent().unwrap_or(tests);
    target.join("sim-failures").join(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the protocol does no I/O; its tests leave files"
)]
fn write_to(folder: &Path, evidence: &Evidence) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("seed.txt"), evidence.summary())?;
    fs::write(folder.join("log.txt"), &evidence.log)?;
    fs::write(folder.join("public.pcap"), &evidence.pcap)?;
    fs::write(folder.join("ladder.txt"), &evidence.ladder)?;
    fs::write(folder.join("ladder.svg"), &evidence.svg)
}

#[test]
fn a_failed_test_leaves_its_evidence() {
    let name = "a-test-of-the-evidence";
    let mut world = crate::internet::world(7);
    crate::internet::qualified_client(&mut world, 1, teredo_sim::NatBehaviour::cone());
    write_to(&folder(name), &world.evidence()).unwrap();
    let size = |file| fs::metadata(folder(name).join(file)).unwrap().len();
    assert!(size("seed.txt") > 0 && size("log.txt") > 100 && size("public.pcap") > 100);
    assert!(size("ladder.txt") > 100 && size("ladder.svg") > 100);
    fs::remove_dir_all(folder(name)).unwrap();
}
