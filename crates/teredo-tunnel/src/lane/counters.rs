//! The traffic that a data path moved. What it dropped is in [`DropCounters`](teredo::DropCounters).

/// Defines a struct of counters that can be added up and listed by name: the one place to add a counter.
macro_rules! counters {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(pub $nested:ident: $type:ty,)*
            $(#[$doc:meta] $field:ident,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $(#[doc = concat!("The ", stringify!($nested), " counters.")] pub $nested: $type,)*
            $(#[$doc] pub $field: u64,)*
        }

        impl $name {
            /// All counters, each with its name in `teredo status --json`.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                std::iter::empty()
                    $(.chain(self.$nested.iter()))*
                    $(.chain(std::iter::once((stringify!($field), self.$field))))*
            }
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$nested += other.$nested;)*
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }
        }
    };
}

pub(crate) use counters;

counters! {
    /// Traffic over UDP since the start. Bytes are those of the UDP payloads.
    pub struct UdpCounters {
        /// Datagrams received.
        rx_datagrams,
        /// Bytes received.
        rx_bytes,
        /// System calls that received datagrams.
        rx_calls,
        /// Datagrams sent.
        tx_datagrams,
        /// Bytes sent.
        tx_bytes,
        /// System calls that sent datagrams.
        tx_calls,
    }
}

counters! {
    /// Traffic of a client or relay since the start.
    pub struct Counters {
        pub udp: UdpCounters,
        /// Packets taken from the host.
        tun_rx_packets,
        /// System calls that took packets: one for each super-packet.
        tun_rx_calls,
        /// Packets delivered to the host.
        tun_tx_packets,
        /// System calls that delivered packets: one for each super-packet.
        tun_tx_calls,
        /// Packets carried between the host and peers, both ways: without those that were dropped, and without the node's own.
        carried_packets,
        /// ICMP errors about datagrams from the service port.
        icmp_errors,
        /// Changes of the port that a gating subscriber did not settle in time.
        settle_misses,
    }
}
