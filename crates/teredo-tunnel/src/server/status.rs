//! What a server tells about itself.

use std::ops::AddAssign;

use teredo::server::ServerCounters;
use teredo::{DropCounters, ServerAddress};

/// Everything that can be asked of a server, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// What it did.
    pub served: ServerCounters,
    /// What it refused, and why.
    pub drops: DropCounters,
    /// Traffic and system calls.
    pub traffic: ServerTraffic,
    /// The same for each pair of addresses, in the order in which they were configured.
    pub pairs: Vec<PairStatus>,
    /// The traffic of each worker.
    pub workers: Vec<ServerTraffic>,
    /// Whether there is a way to the IPv6 Internet: a raw socket, for which it takes CAP_NET_RAW.
    pub has_native_path: bool,
}

/// What was done for the clients of one pair of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairStatus {
    /// The pair.
    pub address: ServerAddress,
    /// What was done.
    pub served: ServerCounters,
    /// What was refused, and why.
    pub drops: DropCounters,
}

impl ServerStatus {
    /// Adds what one worker has to tell.
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
        self.traffic += worker.traffic;
        self.workers.push(worker.traffic);
        self.has_native_path |= worker.has_native_path;
    }
}

/// What one worker has to tell.
#[derive(Debug)]
pub(super) struct WorkerStatus {
    pub(super) pairs: Vec<PairStatus>,
    pub(super) traffic: ServerTraffic,
    pub(super) has_native_path: bool,
}

/// Traffic since the server started. Bytes are those of the UDP payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerTraffic {
    /// Datagrams received.
    pub rx_datagrams: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// System calls that received them.
    pub rx_calls: u64,
    /// Datagrams sent.
    pub tx_datagrams: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// System calls that sent them.
    pub tx_calls: u64,
    /// Datagrams that the kernel refused to send, or had no room for.
    pub tx_refused: u64,
    /// Packets that went to the IPv6 Internet.
    pub native_packets: u64,
    /// Packets for the IPv6 Internet that the kernel had no way for.
    pub no_native_path: u64,
}

impl AddAssign for ServerTraffic {
    fn add_assign(&mut self, other: Self) {
        let Self {
            rx_datagrams,
            rx_bytes,
            rx_calls,
            tx_datagrams,
            tx_bytes,
            tx_calls,
            tx_refused,
            native_packets,
            no_native_path,
        } = other;
        self.rx_datagrams += rx_datagrams;
        self.rx_bytes += rx_bytes;
        self.rx_calls += rx_calls;
        self.tx_datagrams += tx_datagrams;
        self.tx_bytes += tx_bytes;
        self.tx_calls += tx_calls;
        self.tx_refused += tx_refused;
        self.native_packets += native_packets;
        self.no_native_path += no_native_path;
    }
}
