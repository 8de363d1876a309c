//! What went through the data path.

use std::ops::AddAssign;

/// Traffic since the engine started. Bytes are those of the UDP payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
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
    /// Datagrams that the kernel refused to send.
    pub tx_refused: u64,
    /// Datagrams not sent because the service port was not to be used at that moment, or the socket was full.
    pub tx_withheld: u64,
    /// Packets taken from the host.
    pub tun_rx_packets: u64,
    /// System calls that took them: one for each super-packet.
    pub tun_rx_calls: u64,
    /// Super-packets that made no sense and were left out. The kernel makes none.
    pub tun_rx_malformed: u64,
    /// Packets handed to the host.
    pub tun_tx_packets: u64,
    /// System calls that handed them over: one for each super-packet.
    pub tun_tx_calls: u64,
    /// Packets that the host refused.
    pub tun_tx_refused: u64,
    /// Changes of the port whose gating subscribers did not settle in time.
    pub settle_misses: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let Self {
            rx_datagrams,
            rx_bytes,
            rx_calls,
            tx_datagrams,
            tx_bytes,
            tx_calls,
            tx_refused,
            tx_withheld,
            tun_rx_packets,
            tun_rx_calls,
            tun_rx_malformed,
            tun_tx_packets,
            tun_tx_calls,
            tun_tx_refused,
            settle_misses,
        } = other;
        self.rx_datagrams += rx_datagrams;
        self.rx_bytes += rx_bytes;
        self.rx_calls += rx_calls;
        self.tx_datagrams += tx_datagrams;
        self.tx_bytes += tx_bytes;
        self.tx_calls += tx_calls;
        self.tx_refused += tx_refused;
        self.tx_withheld += tx_withheld;
        self.tun_rx_packets += tun_rx_packets;
        self.tun_rx_calls += tun_rx_calls;
        self.tun_rx_malformed += tun_rx_malformed;
        self.tun_tx_packets += tun_tx_packets;
        self.tun_tx_calls += tun_tx_calls;
        self.tun_tx_refused += tun_tx_refused;
        self.settle_misses += settle_misses;
    }
}
