//! `teredo lab`: the whole system on an internet of its own.
//!
//! Everything is the real thing: this very program as server, clients and firewall agents, real NATs, a real
//! default-drop ruleset, in network namespaces that vanish with the laboratory. Each step is checked; the first
//! one that fails ends the story, and the exit code is 1.

mod ruleset;
mod scene;
mod story;
mod teller;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use teredo_lab::privilege;

use self::scene::Scene;
use self::teller::Teller;
use crate::args::LabArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};

/// Builds the laboratory and tells its story on `output`.
pub(crate) fn run(args: LabArgs, output: Output) -> Result<Exit, Failure> {
    // While there is one thread: a user namespace cannot be entered later.
    privilege::enter().map_err(|error| {
        Failure::new(Exit::NotPermitted, "cannot make an internet").because(error)
    })?;
    privilege::check_tun()
        .map_err(|error| Failure::new(Exit::NotPermitted, "cannot make a tunnel").because(error))?;

    let mut teller = Teller::new(output, args.json);
    teller.open(args.nat)?;
    let told = story::tell(&mut teller, args.nat);
    let mut scene = match told {
        Ok(scene) => scene,
        Err(story::Broken::Output(failure)) => return Err(failure),
        Err(story::Broken::Step) => {
            teller.close()?;
            return Ok(Exit::Failed);
        }
    };
    if args.shell {
        shell(&mut scene)?;
    }
    drop(scene);
    teller.close()?;
    Ok(Exit::Done)
}

/// A shell on alice's host, with everything running.
fn shell(scene: &mut Scene) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(Exit::Failed, "cannot open a shell on alice's host").because(error);
    scene
        .revive()
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    narrate(format_args!(
        "this shell is on alice's host; try 'teredo status', 'teredo monitor', 'teredo rebind', 'ping {}'; leave it to end the laboratory",
        scene
            .bob_address()
            .map_or_else(|| "bob".to_owned(), |address| address.to_string()),
    ));
    let mut command = Command::new(shell);
    command.env("TEREDO_SOCKET", scene.alice_socket());
    if let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()))
    {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap_or(path));
    }
    command.arg0("sh");
    let mut child = scene
        .alice()
        .namespace()
        .spawn(&mut command)
        .map_err(failed)?;
    child.wait().map_err(failed)?;
    Ok(())
}
