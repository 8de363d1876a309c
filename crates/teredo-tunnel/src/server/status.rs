//! The status of a server.

use teredo::server::{Limited, ServerCounters};
use teredo::{DropCounters, ServerAddress};
use teredo_bpf::Answered;

use super::kernel::PathStatus;
use crate::lane::{UdpCounters, counters};

/// The state of a server's data path at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its work, by kind.
    pub served: ServerCounters,
    /// Packets dropped, by reason.
    pub drops: DropCounters,
    /// Traffic and system calls.
    pub traffic: ServerTraffic,
    /// The share of each pair of addresses, in the order of the configuration.
    pub pairs: Vec<PairStatus>,
    /// The traffic of each worker.
    pub workers: Vec<ServerTraffic>,
    /// The destinations that the limits have refused most, and how many packets each at most.
    pub limited: Vec<(Limited, u64)>,
    /// Whether there is a way to the IPv6 Internet: a raw socket, which needs CAP_NET_RAW.
    pub has_native_path: bool,
    /// Who answers the solicitations. The work of the kernel is in the other numbers, too, except in those of the workers.
    pub data_path: PathStatus,
}

/// The share of one pair of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairStatus {
    /// The pair.
    pub address: ServerAddress,
    /// The work done, by kind.
    pub served: ServerCounters,
    /// Packets dropped, by reason.
    pub drops: DropCounters,
}

impl ServerStatus {
    /// Adds the answers of the kernel for each pair, and who answers now.
    pub(super) fn add_kernel(&mut self, answered: &[Answered], path: PathStatus) {
        let udp = &mut self.traffic.udp;
        self.data_path = PathStatus {
            user_packets: udp.rx_datagrams + udp.tx_datagrams,
            ..path
        };
        for (pair, answered) in self.pairs.iter_mut().zip(answered) {
            let datagrams = answered.datagrams();
            udp.rx_datagrams += datagrams;
            udp.rx_bytes += answered.received_bytes();
            udp.tx_datagrams += datagrams;
            udp.tx_bytes += answered.sent_bytes();
            self.served.advertisements += datagrams;
            pair.served.advertisements += datagrams;
        }
    }

    /// Adds the share of one worker.
    pub(super) fn add(&mut self, worker: WorkerStatus) {
        for (index, pair) in worker.pairs.into_iter().enumerate() {
            self.served += pair.served;
            self.drops.merge(&pair.drops);
            match self.pairs.get_mut(index) {
                Some(sum) => {
                    sum.served += pair.served;
                    sum.drops.merge(&pair.drops);
                }
                None => self.pairs.push(pair),
            }
        }
        self.drops.merge(&worker.drops);
        self.traffic += worker.traffic;
        self.workers.push(worker.traffic);
        self.has_native_path |= worker.has_native_path;
    }
}

/// The share of one worker.
#[derive(Debug)]
pub(super) struct WorkerStatus {
    pub(super) pairs: Vec<PairStatus>,
    pub(super) traffic: ServerTraffic,
    /// Drops of the data path, which belong to no pair.
    pub(super) drops: DropCounters,
    pub(super) has_native_path: bool,
}

counters! {
    /// Traffic since the server started.
    pub struct ServerTraffic {
        pub udp: UdpCounters,
        /// Packets sent to the IPv6 Internet.
        native_packets,
    }
}
