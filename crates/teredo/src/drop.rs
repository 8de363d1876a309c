//! The reasons for refusing a packet; each has a name and a counter.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason's name in status, metrics and logs: `snake_case`, never changed once published.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// Not `[authentication] [origin] IPv6`, or a malformed part of it (RFC 4380 §5.2.3, §5.3.1 rule 1).
    Malformed = "malformed",
    /// The ICMPv6 checksum or a field that Neighbor Discovery fixes is wrong (RFC 4861 §6.1).
    InvalidIcmpv6 = "invalid_icmpv6",
    /// A trailer of an unknown type that requires the packet to be discarded (RFC 6081 §4).
    UnknownTrailer = "unknown_trailer",
    /// A routing header: never acted on inside a tunnel (RFC 6169 §2.3).
    RoutingHeader = "routing_header",
    /// The client is not qualified, so it carries nothing (RFC 4380 §5.2).
    NotQualified = "not_qualified",
    /// The packet is for another destination (RFC 4380 §5.2.3).
    WrongDestination = "wrong_destination",
    /// The IPv6 source of a packet to send is not the node's Teredo address.
    WrongSource = "wrong_source",
    /// A packet that claims to come from the node itself.
    OwnAddress = "own_address",
    /// A router advertisement without a solicitation, or with the wrong nonce.
    UnsolicitedAdvertisement = "unsolicited_advertisement",
    /// A router advertisement that breaks one of the conditions of RFC 4380 §5.2.1.
    InvalidAdvertisement = "invalid_advertisement",
    /// An echo reply with a wrong or expired nonce (RFC 4380 §5.2.9).
    WrongNonce = "wrong_nonce",
    /// A Teredo source whose embedded mapping is not the datagram's source (RFC 4380 §5.2.3 case 6).
    MappingMismatch = "mapping_mismatch",
    /// The relay's path is not verified yet (RFC 4380 §5.2.3 case 6, §7.2.2). Client: also one stranger too many on the
    /// host's own links.
    UnverifiedSource = "unverified_source",
    /// An IPv4 destination that must be refused (RFC 4380 §5.2.4).
    RefusedDestination = "refused_destination",
    /// An outer IPv4 source that is not global unicast (RFC 4380 §5.3.1 rule 3).
    RefusedSource = "refused_source",
    /// A destination that is not carried over Teredo: link-local, multicast, loopback (RFC 4380 §7.1).
    NotTunnelled = "not_tunnelled",
    /// The packet is larger than the tunnel's MTU.
    TooBig = "too_big",
    /// The queue of packets that wait for this peer, or for all peers, is full.
    QueueFull = "queue_full",
    /// The peer did not answer within its retries (RFC 4380 §5.2.4).
    PeerUnreachable = "peer_unreachable",
    /// A bubble, or a packet that waits for one, that the limits of RFC 4380 §5.2.6 or of its destination forbid.
    BubbleLimit = "bubble_limit",
    /// Too many connectivity tests at once; strangers could otherwise provoke any number of them. Client: an answer to a
    /// stranger that could not be tested.
    TestLimit = "test_limit",
    /// A local discovery bubble while local discovery is off, or a unicast one (RFC 4380 §5.2.8).
    LocalDiscovery = "local_discovery",
    /// A local discovery bubble that is not from a client on this link and behind the same NAT (RFC 4380 §5.2.8).
    LocalBubbleRefused = "local_bubble_refused",
    /// More local discovery bubbles than are answered or remembered.
    LocalBubbleLimit = "local_bubble_limit",
    /// A datagram to a random port that is closed, or that is another peer's (RFC 6081 §5.4).
    RandomPortClosed = "random_port_closed",
    /// A random port that was not opened, or was closed for another, because they are few.
    RandomPortLimit = "random_port_limit",
    /// A burst of bubbles, or the ports for one, that the limits of the birthday method forbid.
    BirthdayLimit = "birthday_limit",
    /// An ICMP error about a bubble that awaits its answer, which quotes another datagram.
    IcmpMismatch = "icmp_mismatch",
    /// Server: neither a bubble nor ICMPv6 (RFC 4380 §5.3.1 rule 2).
    NotRelayed = "not_relayed",
    /// Server: the outer source does not confirm the inner one (RFC 4380 §5.3.1 rule 7). Relay: the source does not
    /// belong to the side that the packet comes from.
    SpoofedSource = "spoofed_source",
    /// Server: the packet would come back to the server itself. Relay: a server that claims to be its own client, or a
    /// packet from Teredo to Teredo.
    SelfLoop = "self_loop",
    /// The hop limit ran out.
    HopLimit = "hop_limit",
    /// Server: more bytes behind a bubble than trailers need, or a longer ICMPv6 message than it forwards.
    /// `miredo-server` forwards them, which makes it an open relay. Also an answer that does not fit into the buffer.
    Oversized = "oversized",
    /// Server: the rate to this destination, this sender's share of it, or the rate to all together is at its limit.
    RateLimited = "rate_limited",
    /// Authentication is required, and missing or wrong (RFC 4380 §5.2.2).
    Unauthenticated = "unauthenticated",
    /// Relay and server: a destination outside the networks that they serve (RFC 4380 §5.4.2), or a special-purpose
    /// network that they were not told to serve.
    NotServed = "not_served",
    /// There is no route to the IPv6 Internet.
    NoNativePath = "no_native_path",
    /// A router reported congestion, but the packet's sender does not support ECN (RFC 6040 §4.2).
    Congestion = "congestion",
    /// The service port cannot be used now: it is not open yet, or is being changed or closed.
    PortNotReady = "port_not_ready",
    /// The socket is full, and so is the buffer before it.
    SendBufferFull = "send_buffer_full",
    /// The kernel refused to send a datagram.
    SendRefused = "send_refused",
    /// The tunnel interface refused a packet for the host.
    HostRefused = "host_refused",
    /// A super-packet from the tunnel interface that cannot be cut into packets.
    MalformedSuperPacket = "malformed_super_packet",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for DropReason {}

/// One counter per [`DropReason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl Default for DropCounters {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl DropCounters {
    /// Counts one packet and returns its reason.
    pub fn count(&mut self, reason: DropReason) -> DropReason {
        self.add(reason, 1);
        reason
    }

    /// Counts several packets.
    pub fn add(&mut self, reason: DropReason, packets: u64) {
        let counter = &mut self.0[reason as usize];
        *counter = counter.saturating_add(packets);
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, other: &Self) {
        for (counter, more) in self.0.iter_mut().zip(other.0) {
            *counter = counter.saturating_add(more);
        }
    }

    /// How many packets were dropped for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons with a count above zero, and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.get(reason)))
            .filter(|&(_, count)| count > 0)
    }
}
