//! `teredo config check`: lists the files, or every mistake in them, in their combination and in the files of secrets.

use std::path::{Path, PathBuf};

use super::doubt::{self, doubts};
use super::{Config, EmptySecrets, Layers, Mistake};
use crate::args::{ClientArgs, DEFAULT_CONFIG, ServerArgs, variables};
use crate::client::secrets;
use crate::failure::{Exit, Failure};
use crate::output::{Output, narrate};
use crate::secret;
use crate::server::load_secrets;
use crate::settings::{self, ClientSettings, ServerSettings, ServerSocket};

pub(super) fn run(chosen: Option<&Path>, output: &mut Output) -> Result<Exit, Failure> {
    let layers = with_secrets(chosen);
    let doubts = every_doubt(&layers);
    layers.mistakes.none_or(())?;
    if !layers.has_main {
        let rest = if layers.files.is_empty() {
            "the defaults apply"
        } else {
            "its drop-ins and the defaults apply"
        };
        output.line(format_args!("no {DEFAULT_CONFIG}: {rest}"))?;
    }
    for doubt in doubts {
        narrate(format_args!("warning: {doubt}"));
    }
    for file in &layers.files {
        output.line(format_args!("{}: ok", file.display()))?;
    }
    Ok(Exit::Done)
}

/// The settings, with their mistakes and doubts.
pub(crate) struct Examined {
    pub(crate) config: Config,
    /// Each mistake in one line, and the next step if it differs from "correct the line".
    pub(crate) mistakes: Vec<(String, Option<String>)>,
    /// Those of the mistakes that a full disk can make.
    pub(crate) empty_secrets: Vec<EmptySecrets>,
    pub(crate) doubts: Vec<String>,
}

/// Examines the files without a word.
pub(crate) fn examine(chosen: Option<&Path>) -> Examined {
    let layers = with_secrets(chosen);
    Examined {
        mistakes: layers.mistakes.described(),
        empty_secrets: layers.mistakes.empty_secrets(),
        doubts: every_doubt(&layers),
        config: layers.config,
    }
}

/// Those of the files themselves, and of their contents.
fn every_doubt(layers: &Layers) -> Vec<String> {
    let of_files = layers.files.iter().filter_map(|file| doubt::of_file(file));
    let of_lines = doubts(&layers.config);
    let of_lines = of_lines.iter().map(ToString::to_string);
    of_files.chain(of_lines).collect()
}

/// The same as [`checked`], with the files of secrets and the variables of the environment.
fn with_secrets(chosen: Option<&Path>) -> Layers {
    let mut layers = checked(chosen);
    let secrets = unusable_secrets(&layers);
    layers.mistakes.extend(secrets);
    let variables = variables::wrong().into_iter();
    layers.mistakes.extend(variables.map(Mistake::Variable));
    layers.mistakes.sort(&layers.files);
    layers
}

/// The files, with the mistakes in each and in their combination.
pub(super) fn checked(chosen: Option<&Path>) -> Layers {
    let mut layers = Layers::read(chosen);
    let conflicts: Vec<_> = settings::conflicts(&layers.config)
        .into_iter()
        .filter(|conflict| !layers.mistakes.spoil(conflict.section()))
        .map(|conflict| Mistake::Conflict {
            place: conflict.place(&layers.config),
            conflict,
        })
        .collect();
    layers.mistakes.extend(conflicts);
    layers.mistakes.sort(&layers.files);
    layers
}

/// The files of secrets that a daemon would refuse.
fn unusable_secrets(layers: &Layers) -> Vec<Mistake> {
    let Config { client, server, .. } = layers.config.clone();
    let places = [
        ("client", client.places.clone()),
        ("server", server.places.clone()),
    ];
    let client = ClientSettings::of(ClientArgs::default(), client, PathBuf::new());
    let server = ServerSettings::of(ServerArgs::default(), server, ServerSocket::new(None));
    let of_client = match &client.secret_file {
        // The servers are on the command line, so the file may name any.
        Some(path) if client.servers.is_empty() => secret::read(path).err(),
        _ => secrets::load(&client).err(),
    };
    let errors = [of_client, load_secrets(&server).err()];
    let mistakes = places.into_iter().zip(errors);
    let mistakes = mistakes.filter_map(|((section, places), error)| {
        Some(Mistake::Secret {
            place: places.get("secret_file")?.clone(),
            section,
            error: error?,
        })
    });
    mistakes.collect()
}
