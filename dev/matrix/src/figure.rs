//! Figure 1 of RFC 6081: the pairs that it promises to connect, and the extensions for each.

use serde::{Deserialize, Serialize};
use teredo::client::NatTraversal;

use crate::kind::Kind;

/// The protocol that a cell of the figure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// RFC 4380 alone ("Yes").
    Rfc4380,
    /// The Symmetric NAT Support Extension ("SNS").
    Symmetric,
    /// And the UPnP-Enabled Symmetric NAT Extension ("SNS+UPnP").
    Upnp,
    /// And the Port-Preserving Symmetric NAT Extension ("SNS+PP").
    Preserving,
    /// And the Sequential Port-Symmetric NAT Extension ("SNS+SS").
    Sequential,
    /// No connectivity ("No").
    Nothing,
}

impl Promise {
    /// Whether a client with this setting must keep it.
    pub fn binds(self, mode: NatTraversal) -> bool {
        match self {
            Self::Nothing => false,
            Self::Rfc4380 => true,
            _ => mode != NatTraversal::Rfc4380,
        }
    }
}

/// As printed: a row for each NAT of the source, a column for each of the destination. It is not symmetric.
const FIGURE: [&str; 9] = [
    "YYYYSSSSS",
    "YYYYSSSS-",
    "YYYY-PQ--",
    "YYYYU----",
    "SS-UU----",
    "SSP--PQ--",
    "SSQ------",
    "SS-------",
    "S--------",
];

/// The promise of figure 1 of RFC 6081 to a client behind `from` that sends to one behind `to`.
pub fn promise(from: &Kind, to: &Kind) -> Promise {
    match FIGURE[from.figure].as_bytes()[to.figure] {
        b'Y' => Promise::Rfc4380,
        b'S' => Promise::Symmetric,
        b'U' => Promise::Upnp,
        b'P' => Promise::Preserving,
        b'Q' => Promise::Sequential,
        _ => Promise::Nothing,
    }
}
