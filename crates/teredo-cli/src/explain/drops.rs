//! The drop reasons, each with its meaning and the next step for an operator.

/// The meaning of the drop reason `name`; the names are those of [`teredo::DropReason`].
pub(super) fn meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "malformed" => {
            "the datagram holds no valid IPv6 packet behind Teredo's headers (RFC 4380 §5.1.1)"
        }
        "invalid_icmpv6" => {
            "the ICMPv6 checksum is wrong, or a field that Neighbor Discovery prescribes (RFC 4861 §6.1)"
        }
        "unknown_trailer" => {
            "the packet has a trailer of an unknown type that demands that the packet be discarded (RFC 6081 §4)"
        }
        "routing_header" => {
            "the packet has a routing header, which a tunnel must not act on (RFC 6169 §2.3)"
        }
        "not_qualified" => "the client is not qualified, so it carries no traffic yet",
        "wrong_destination" => "the packet is addressed to another node (RFC 4380 §5.2.3)",
        "wrong_source" => {
            "this host sent a packet into the tunnel whose source is not its Teredo address"
        }
        "own_address" => "a packet from outside claims to come from this node itself",
        "unsolicited_advertisement" => {
            "a router advertisement answers no solicitation of this client, or has the wrong nonce"
        }
        "invalid_advertisement" => "a router advertisement breaks a rule of RFC 4380 §5.2.1",
        "wrong_nonce" => {
            "an echo reply answers no connectivity test, or came too late (RFC 4380 §5.2.9)"
        }
        "mapping_mismatch" => {
            "the datagram did not come from the IPv4 address and port in its Teredo source address: it is forged, or \
             the peer's NAT uses another mapping towards this node (RFC 4380 §5.2.3)"
        }
        "unverified_source" => {
            "the packet has a native IPv6 source, and the relay that sent it is not verified yet (RFC 4380 §5.2.3); or it is \
             from a stranger on this host's own network, of whom a client serves 16 at a time; or, at a relay, from a client \
             that did not answer a bubble within 2 s, or of which 8 packets wait for that"
        }
        "refused_destination" => {
            "the IPv4 destination must not be sent to, for example a private or multicast address (RFC 4380 §5.2.4)"
        }
        "refused_source" => {
            "the datagram came from an IPv4 address that is not global unicast (RFC 4380 §5.3.1)"
        }
        "not_tunnelled" => {
            "Teredo does not carry this destination: link-local, unique local, multicast or loopback"
        }
        "too_big" => "the packet is larger than the tunnel's MTU of 1280 bytes (RFC 4380 §5.1.2)",
        "queue_full" => "too many packets wait for this peer, or for all peers together",
        "peer_unreachable" => "the peer did not answer repeated bubbles (RFC 4380 §5.2.4)",
        "bubble_limit" => {
            "another bubble would exceed the limits of RFC 4380 §5.2.6, or the limit for one address"
        }
        "test_limit" => {
            "too many connectivity tests are in progress at once, so the path to a stranger was not found"
        }
        "local_discovery" => {
            "a local discovery bubble arrived while local discovery is off, or was sent to this host alone (RFC 4380 \
             §5.2.8)"
        }
        "local_bubble_refused" => {
            "a local discovery bubble is not from a Teredo client on this link and behind the same NAT (RFC 4380 \
             §5.2.8)"
        }
        "local_bubble_limit" => {
            "more local discovery bubbles arrived than this client answers or remembers"
        }
        "random_port_closed" => {
            "a datagram came to a random port that is closed, or that belongs to another peer (RFC 6081 §5.4)"
        }
        "random_port_limit" => {
            "a peer behind a symmetric NAT got no random port, or lost it, because too many are in use (RFC 6081 §5.4)"
        }
        "birthday_limit" => {
            "a peer behind a symmetric NAT with random ports was not looked for with a burst of bubbles, or got no ports \
             for one, because its address, its server or all together had theirs a moment ago"
        }
        "icmp_mismatch" => {
            "an ICMP error names a bubble that awaits its answer, but quotes another datagram: it is probably forged"
        }
        "not_relayed" => {
            "server: the packet is neither a bubble nor ICMPv6; a server carries no traffic (RFC 4380 §5.3.1)"
        }
        "spoofed_source" => {
            "server: the inner source address does not match the outer one (RFC 4380 §5.3.1); relay: the source \
             belongs to the other side"
        }
        "self_loop" => {
            "server: the packet would come back to this server; relay: the packet goes from Teredo to Teredo, or its \
             client is a Teredo server"
        }
        "hop_limit" => "the hop limit reached zero",
        "oversized" => {
            "server: more bytes follow the packet than trailers need, or the ICMPv6 message is too long"
        }
        "rate_limited" => {
            "server: the packet exceeds the rate limit for its destination ('relay_rate'), for its sender's share of \
             that, or for all destinations ('relay_total'); or a solicitation exceeds 'advertisement_rate'"
        }
        "unauthenticated" => {
            "the peer requires authentication, and it is missing or wrong (RFC 4380 §5.2.2): identifier or secret \
             differ between client and server"
        }
        "congestion" => {
            "a router on the path marked the packet as congested, and its sender does not support ECN (RFC 6040 §4.2)"
        }
        "not_served" => {
            "server, relay: the destination is outside the networks that it serves (RFC 4380 §5.4.2), or is a \
             special-purpose network, such as that of a NAT64, which must be named"
        }
        "port_not_ready" => {
            "the service port could not be used at that moment: it was not open yet, or was being changed or closed"
        }
        "send_buffer_full" => {
            "the socket of the service port accepted no more datagrams, and too many were waiting for it already"
        }
        "send_refused" => {
            "the kernel refused to send a datagram, for instance because there is no route or a firewall rejects it"
        }
        "host_refused" => {
            "the tunnel interface refused a packet for the host; it may be down or its queue full"
        }
        "malformed_super_packet" => {
            "the tunnel interface delivered several packets as one that cannot be cut; `--offload off` prevents \
             such packets"
        }
        "no_native_path" => "this host has no route to the IPv6 Internet",
        _ => return None,
    })
}

/// The next step of an operator for the drop reason `name`.
pub(super) fn next_step(name: &str) -> &'static str {
    match name {
        "not_qualified" => "'teredo status' shows the reason",
        "wrong_source" => {
            "check which source address the program uses; traffic from other addresses needs another route"
        }
        "mapping_mismatch" => {
            "nothing if the count is small; if one peer is affected, its NAT is probably symmetric, and it does not know \
             RFC 6081"
        }
        "refused_destination" | "refused_source" => {
            "nothing on the Internet; in a lab with private addresses, use --allow-private"
        }
        "not_tunnelled" => "reach such destinations without the tunnel",
        "too_big" => "check the MTU of the tunnel interface: it must be 1280",
        "queue_full" => {
            "the senders retry; if the count keeps growing, a peer does not answer, or this node is overloaded"
        }
        "peer_unreachable" => {
            "check that the peer runs and is qualified; its NAT or firewall may block this node"
        }
        "local_discovery" => "turn local discovery on, unless you turned it off on purpose",
        "local_bubble_limit" => {
            "a host on the link may forge them; --no-local-discovery turns local discovery off"
        }
        "random_port_limit" => {
            "nothing, if the count stands still; strangers may provoke it, and peers with a path keep their ports"
        }
        "birthday_limit" => {
            "nothing: a peer that the host asks again after 5 minutes is looked for again; strangers may provoke the count"
        }
        "rate_limited" => {
            "raise the limit under [server] in the configuration if the load is legitimate"
        }
        "unauthenticated" => {
            "compare the secret files of client and server: name and secret must be the same on both sides"
        }
        "port_not_ready" => "nothing: a port change takes milliseconds, and the senders retry",
        "send_buffer_full" => {
            "nothing if the count is small; otherwise the uplink or this host is overloaded"
        }
        "send_refused" => {
            "check the route and the local firewall's output rules; the log names the error"
        }
        "host_refused" => {
            "check that the tunnel interface is up: 'ip link'; the log names the error"
        }
        "malformed_super_packet" => {
            "use --offload off, and report it together with the kernel's version"
        }
        "not_served" => "add the network with --serve if clients should reach it",
        "no_native_path" => "give this host IPv6, or check its default route: 'ip -6 route'",
        _ => {
            "nothing: the packet was dropped as it should be; look for a faulty sender if the count grows fast"
        }
    }
}
