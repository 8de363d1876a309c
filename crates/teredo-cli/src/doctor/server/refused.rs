//! Sources whose packets the rules of a server's host drop, while strangers get through.

use std::net::Ipv4Addr;

use teredo::wire::PORT;
use teredo_nft::Expression;

use crate::doctor::rules::packet::{NEW, kinds};
use crate::doctor::rules::walk::{Fate, Place};
use crate::doctor::way::Way;

/// More than is worth a look.
const MOST: usize = 256;

/// A note about sources that the rules keep from the server, and the command that lets one in again.
pub(super) fn sources(way: &Way<'_>, serves: &[Ipv4Addr]) -> Option<(String, String)> {
    let server = *serves.first()?;
    let refused = |source: Ipv4Addr| -> Option<Place> {
        let packet = kinds::to_port(&way.outside, (source, 40_000), (server, PORT), NEW);
        match way.follow(&packet) {
            Fate::Dropped(place) => Some(place),
            _ => None,
        }
    };
    for table in way.tables() {
        for (name, set) in &table.sets {
            let plain_set = set.key.length == 4 && !set.map && !name.starts_with("__");
            let mut keys = set.elements.iter().filter(|one| !one.interval_end);
            let first = keys.find_map(|one| address(&one.key));
            let Some((first, place)) = first
                .filter(|_| plain_set)
                .and_then(|first| Some((first, refused(first)?)))
            else {
                continue;
            };
            return Some((
                format!(
                    "packets of some sources are refused, such as of {first}, by {place}. To a client whose public \
                     address is in the set, it looks as if no server runs here",
                ),
                format!(
                    "nft list set {table} {name}\nnft delete element {table} {name} '{{ CLIENT }}'",
                    table = table.name
                ),
            ));
        }
        let rows = table.rules.values().flatten();
        let values = rows.flat_map(|row| &row.expressions).filter_map(value);
        let found = values
            .take(MOST)
            .find_map(|source| Some((source, refused(source)?)));
        if let Some((source, place)) = found {
            return Some((
                format!(
                    "packets of some sources are refused, such as of {source}, by {place}. To such a client, it looks as if \
                     no server runs here"
                ),
                format!(
                    "nft -a list chain {} {}",
                    table.name,
                    crate::doctor::shell::quote(&place.chain)
                ),
            ));
        }
    }
    None
}

fn value(expression: &Expression) -> Option<Ipv4Addr> {
    match expression {
        Expression::Compare { value, .. } => address(value),
        _ => None,
    }
}

/// An address of the Internet: other values have four bytes, too.
fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?);
    let is_source = teredo::policy::is_global_unicast(address);
    is_source.then_some(address)
}
