//! `teredo publish nats-config`: the users of the bucket, each with a key of its own.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use teredo_fleet::{FleetRole, HostKey, User, account};

use crate::args::NatsConfigArgs;
use crate::failure::{Exit, Failure};
use crate::output::narrate;

/// The file to be included in `nats-server.conf`.
const FILE: &str = "teredo-fleet.conf";

/// Writes the account, and a seed for each user. A user whose seed is there keeps it.
pub(crate) fn run(args: &NatsConfigArgs) -> Result<Exit, Failure> {
    let roles = [
        (&args.hosts, FleetRole::Host),
        (&args.perimeters, FleetRole::Perimeter),
        (&args.readers, FleetRole::Reader),
    ];
    let names = || roles.iter().flat_map(|(names, _)| names.iter());
    let mut known = std::collections::BTreeSet::new();
    if let Some(twice) = names().find(|name| !known.insert(*name)) {
        return Err(
            Failure::new(Exit::Usage, format!("'{twice}' is named twice"))
                .hint("each host, perimeter and reader needs a name of its own"),
        );
    }
    if known.is_empty() {
        return Err(Failure::new(Exit::Usage, "no user is named")
            .hint("name them: 'teredo publish nats-config --host web --perimeter fw1 --dir DIR'"));
    }
    std::fs::create_dir_all(&args.dir).map_err(|error| cannot_write(&args.dir, error))?;
    let mut users = Vec::new();
    for (names, role) in roles {
        for name in names {
            users.push(user(name, role, &args.dir)?);
        }
    }
    let file = args.dir.join(FILE);
    std::fs::write(&file, account(&users)).map_err(|error| cannot_write(&file, error))?;
    narrate(format_args!(
        "{} and the seeds of {} users are written; nats-server.conf includes the file by 'include \"{FILE}\"'",
        file.display(),
        users.len()
    ));
    Ok(Exit::Done)
}

fn user(name: &HostKey, role: FleetRole, folder: &Path) -> Result<User, Failure> {
    let path = folder.join(format!("{name}.nk"));
    match std::fs::read_to_string(&path) {
        Ok(seed) => User::with_seed(name.clone(), role, &seed).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot use {}", path.display()))
                .because(error)
                .hint("remove the file for a new key; the host then needs the new file")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let user = User::generate(name.clone(), role);
            let seed = user.seed().map_err(|error| cannot_write(&path, error))?;
            let file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path);
            let written = file.and_then(|mut file| writeln!(file, "{seed}"));
            written.map_err(|error| cannot_write(&path, error))?;
            Ok(user)
        }
        Err(error) => Err(
            Failure::new(Exit::Failed, format!("cannot read {}", path.display())).because(error),
        ),
    }
}

fn cannot_write(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}", path.display()))
        .because(error)
        .hint("choose a folder that you may write to with --dir")
}
