//! `teredo metrics`, and the same text over HTTP from within a daemon.
//!
//! ```text
//!  catalogue.rs   every metric: its name, type, unit and labels; docs/metrics.md is this list
//!  node.rs        the samples of a status;   agent.rs  those of a firewall agent;   perimeter.rs  those of a perimeter
//!  exposition.rs  all as text in the OpenMetrics format
//!  endpoint.rs    the address, its connections and their bounds;   http.rs  one request and its answer
//! ```
//!
//! A scrape is computed from one status, and nothing else keeps a count. No label has a peer's address, or anything
//! that a peer can choose, so the number of samples is bounded.

mod agent;
mod catalogue;
mod endpoint;
mod exposition;
mod http;
mod node;
mod perimeter;
#[cfg(test)]
mod reference;

use std::path::Path;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::status;

pub(crate) use agent::AgentSource;
pub(crate) use endpoint::{Endpoint, is_exposed};
pub(crate) use node::{control_source, node_source};
pub(crate) use perimeter::perimeter_source;

/// Each metric by its name in the text, with its meaning.
pub(crate) fn names() -> impl Iterator<Item = (String, &'static str)> {
    let all = catalogue::ALL.iter();
    all.map(|metric| (metric.full_name(), metric.help))
}

/// Prints the metrics of the local service. Without a chosen socket, of the first node that answers in the usual folder.
pub(crate) fn run(chosen: Option<&Path>, output: &mut Output) -> Result<Exit, Failure> {
    let status = status::first(chosen)?;
    output.bytes(node::of_status(&status).as_bytes())?;
    Ok(Exit::Done)
}
