//! The list of peers, as a table.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use anstyle::Style;
use teredo_notify::types::{Counters, Peer};

use super::rate::Rates;
use crate::text::{bytes, span};

/// The names of the columns.
pub(crate) const HEADINGS: [&str; 7] = ["PEER", "PATH", "STATE", "HEARD", "SENT", "RX", "TX"];

/// The peers, each with its rates if there was a look before.
pub(super) struct Table<'a> {
    peers: &'a [Peer],
    rates: HashMap<Ipv6Addr, Rates>,
}

impl<'a> Table<'a> {
    /// `before` are the peers of an earlier look, so long ago.
    pub(super) fn new(peers: &'a [Peer], before: Option<(&[Peer], Duration)>) -> Self {
        let mut rates = HashMap::new();
        if let Some((earlier, elapsed)) = before {
            let known: HashMap<Ipv6Addr, &Counters> = (earlier.iter())
                .map(|peer| (peer.address, &peer.counters))
                .collect();
            let nothing = Counters::default();
            rates.extend(peers.iter().map(|peer| {
                let before = known.get(&peer.address).copied().unwrap_or(&nothing);
                (
                    peer.address,
                    Rates::between(before, &peer.counters, elapsed),
                )
            }));
        }
        Self { peers, rates }
    }

    fn row(&self, peer: &Peer) -> [String; 7] {
        let ago = |ms: Option<u64>| match ms {
            Some(ms) => format!("{} ago", span(Duration::from_millis(ms))),
            None => String::from("-"),
        };
        let rates = self.rates.get(&peer.address);
        let with = |sum: u64, rate: Option<String>| match rate {
            Some(rate) => format!("{} ({rate})", bytes(sum)),
            None => bytes(sum),
        };
        [
            peer.address.to_string(),
            peer.path
                .map_or_else(|| String::from("-"), |path| path.to_string()),
            peer.state.name().to_owned(),
            ago(peer.heard_ms),
            ago(peer.sent_ms),
            with(peer.counters.rx_bytes, rates.map(|rates| rates.rx())),
            with(peer.counters.tx_bytes, rates.map(|rates| rates.tx())),
        ]
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peers.is_empty() {
            return f.write_str("no peers");
        }
        let rows: Vec<_> = self.peers.iter().map(|peer| self.row(peer)).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].len());
            cells.max().unwrap_or(0).max(HEADINGS[column].len())
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        let bold = Style::new().bold();
        write!(f, "{bold}{}{bold:#}", line(&HEADINGS, &widths))?;
        for row in &rows {
            write!(f, "\n{}", line(row, &widths))?;
        }
        Ok(())
    }
}

fn line<T: AsRef<str>>(cells: &[T; 7], widths: &[usize; 7]) -> String {
    let padded = cells.iter().zip(widths);
    let padded: Vec<_> = padded
        .map(|(cell, &width)| format!("{:width$}", cell.as_ref()))
        .collect();
    padded.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
