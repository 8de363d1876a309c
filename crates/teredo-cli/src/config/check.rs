//! `teredo config check`: lists the files, or every mistake in them, in their combination and in the files of secrets.

use std::path::Path;

use super::{Layers, Mistake};
use crate::args::DEFAULT_CONFIG;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::secret;
use crate::settings;

pub(super) fn run(chosen: Option<&Path>, output: &mut Output) -> Result<Exit, Failure> {
    let mut layers = checked(chosen);
    let secrets = unusable_secrets(&layers);
    layers.mistakes.extend(secrets);
    layers.mistakes.sort(&layers.files);
    layers.mistakes.none_or(())?;
    if !layers.has_main {
        let rest = if layers.files.is_empty() {
            "the defaults apply"
        } else {
            "its drop-ins and the defaults apply"
        };
        output.line(format_args!("no {DEFAULT_CONFIG}: {rest}"))?;
    }
    for file in &layers.files {
        output.line(format_args!("{}: ok", file.display()))?;
    }
    Ok(Exit::Done)
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

/// The files of secrets that are missing, that others can read, or that hold no secrets.
fn unusable_secrets(layers: &Layers) -> Vec<Mistake> {
    let Layers { config, .. } = layers;
    let files = [
        ("client", &config.client.secret_file, &config.client.places),
        ("server", &config.server.secret_file, &config.server.places),
    ];
    let mut mistakes = Vec::new();
    for (section, file, places) in files {
        let Some(place) = places.get("secret_file") else {
            continue;
        };
        let error = file.as_ref().and_then(|path| secret::read(path).err());
        mistakes.extend(error.map(|error| Mistake::Secret {
            place: place.clone(),
            section,
            error,
        }));
    }
    mistakes
}
