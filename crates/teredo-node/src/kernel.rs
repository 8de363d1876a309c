//! Who carries the packets of known peers: programs in the kernel if they can be had and are wanted, or user space.

use std::net::Ipv4Addr;
use std::time::SystemTime;

use teredo_notify::types::{CarriedPackets, Carrier, Counters, DataPath, rfc3339};
use teredo_tunnel::Tun;
use teredo_tunnel::kernel::{DataPathChoice, KernelPath, Outcome};
use teredo_tunnel::net::way_to;

use crate::StartError;

/// Any address that the default route leads to, to find out the way to the Internet.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Lines that the program's limit of repetitions leaves alone: they are told once.
const BOUNDED: &str = "teredo::bounded";

/// The data path of a node.
#[derive(Debug)]
pub(crate) enum KernelUse {
    /// The programs are loaded.
    Loaded(KernelPath),
    /// User space carries everything, for this reason.
    Without { reason: String, since: SystemTime },
}

impl KernelUse {
    /// Loads the path in the kernel if the operator wants it, or goes on with that of a node before.
    pub(crate) fn prepare(
        choice: DataPathChoice,
        former: Option<KernelPath>,
        tun: &Tun,
        most_peers: usize,
    ) -> Result<Self, StartError> {
        if choice == DataPathChoice::User {
            return Ok(Self::without("data_path is user"));
        }
        let most_peers = u32::try_from(most_peers).unwrap_or(u32::MAX);
        let prepared = match former {
            Some(path) => path.take_over(tun).map(|()| path),
            None => KernelPath::prepare(most_peers, tun),
        };
        match prepared {
            Ok(path) => Ok(Self::Loaded(path)),
            Err(error) => {
                for line in error.verifier_log().into_iter().flat_map(str::lines) {
                    tracing::info!(target: BOUNDED, "verifier: {line}");
                }
                if choice == DataPathChoice::Kernel {
                    return Err(StartError::Kernel(error));
                }
                tracing::info!(reason = %error, "user space carries all packets, because the kernel does not");
                Ok(Self::without(error.to_string()))
            }
        }
    }

    fn without(reason: impl Into<String>) -> Self {
        Self::Without {
            reason: reason.into(),
            since: SystemTime::now(),
        }
    }

    /// Attaches the programs, if they are loaded, beside everything else: to the interface of the tunnel, and to the one that
    /// datagrams to this destination leave by.
    pub(crate) fn attach(&self, destination: Ipv4Addr) {
        let Some(path) = self.path() else {
            return;
        };
        path.attach();
        if let Ok(Some((underlay, _))) = way_to(destination) {
            path.expect(underlay);
        }
    }

    /// The programs, if they are loaded.
    pub(crate) fn path(&self) -> Option<&KernelPath> {
        match self {
            Self::Loaded(path) => Some(path),
            Self::Without { .. } => None,
        }
    }

    /// Adds the traffic that the kernel has carried to that of user space.
    pub(crate) fn add_to(&self, counters: &mut Counters) {
        let Self::Loaded(path) = self else {
            return;
        };
        let outcomes = path.status().outcomes;
        counters.rx_packets += outcomes.get(Outcome::Decapsulated);
        counters.rx_bytes += outcomes.get(Outcome::DecapsulatedBytes);
        counters.tx_packets += outcomes.get(Outcome::Encapsulated);
        counters.tx_bytes += outcomes.get(Outcome::EncapsulatedBytes);
    }

    /// The packets that the kernel has carried: to peers, and from them.
    pub(crate) fn carried(&self) -> [u64; 2] {
        let outcomes = self.path().map(|path| path.status().outcomes);
        let outcomes = outcomes.unwrap_or_default();
        [Outcome::Encapsulated, Outcome::Decapsulated].map(|outcome| outcomes.get(outcome))
    }

    /// The account for the status; `user` is the number of packets that user space has carried.
    pub(crate) fn describe(&self, user: u64) -> DataPath {
        match self {
            Self::Loaded(path) => {
                let status = path.status();
                let counters = status.outcomes.iter();
                DataPath {
                    in_use: match status.open {
                        true => Carrier::Kernel,
                        false => Carrier::User,
                    },
                    since: Some(rfc3339(status.since)),
                    packets: CarriedPackets {
                        kernel: status.packets(),
                        user,
                    },
                    counters: counters
                        .map(|(outcome, count)| (format!("kernel_{outcome}"), count))
                        .collect(),
                    reason: status.reason,
                }
            }
            Self::Without { reason, since } => DataPath {
                since: Some(rfc3339(*since)),
                reason: Some(reason.clone()),
                packets: CarriedPackets { kernel: 0, user },
                ..DataPath::default()
            },
        }
    }
}
