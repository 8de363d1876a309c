//! What the reasons of drops mean, and what a person can do about them.

/// The meaning of the drop reason `name`; the names are those of [`teredo::DropReason`].
pub(super) fn meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "malformed" => {
            "the datagram is not an IPv6 packet behind Teredo's headers (RFC 4380 §5.1.1)"
        }
        "invalid_icmpv6" => {
            "the ICMPv6 checksum is wrong, or a field that Neighbor Discovery fixes (RFC 4861 §6.1)"
        }
        "unknown_trailer" => {
            "a trailer of a type that asks to discard the packet where it is not known (RFC 6081 §4)"
        }
        "routing_header" => {
            "a packet with a routing header, which is never acted on inside a tunnel (RFC 6169 §2.3)"
        }
        "not_qualified" => {
            "the client is not qualified, so nothing is carried yet; 'teredo status' says why"
        }
        "wrong_destination" => "the packet is addressed to somebody else (RFC 4380 §5.2.3)",
        "wrong_source" => {
            "the host sent a packet into the tunnel that is not from its Teredo address"
        }
        "own_address" => "a packet from outside that claims to come from this node itself",
        "unsolicited_advertisement" => {
            "a router advertisement that nobody asked for, or with the wrong nonce"
        }
        "invalid_advertisement" => "a router advertisement that breaks a rule of RFC 4380 §5.2.1",
        "wrong_nonce" => {
            "an echo reply that answers no connectivity test, or answers too late (RFC 4380 §5.2.9)"
        }
        "mapping_mismatch" => {
            "the datagram did not come from where its Teredo source address says: forged, or the peer's NAT gave it \
             another mapping (RFC 4380 §5.2.3)"
        }
        "unverified_source" => {
            "a native IPv6 source whose relay has not been verified yet (RFC 4380 §5.2.3)"
        }
        "refused_destination" => {
            "an IPv4 destination that must not be sent to, such as a private or a multicast address (RFC 4380 \
             §5.2.4); --allow-private permits private ones in a laboratory"
        }
        "refused_source" => {
            "a datagram from an IPv4 address that is not global unicast (RFC 4380 §5.3.1); --allow-private permits \
             private ones in a laboratory"
        }
        "not_tunnelled" => {
            "a destination that Teredo does not carry: link-local, unique local, multicast or loopback"
        }
        "too_big" => "the packet is larger than the tunnel's MTU of 1280 bytes (RFC 4380 §5.1.2)",
        "queue_full" => "too many packets wait for this peer, or for all peers together",
        "peer_unreachable" => "the peer did not answer to repeated bubbles (RFC 4380 §5.2.4)",
        "bubble_limit" => {
            "another bubble would exceed the limits of RFC 4380 §5.2.6; relay: too many to one server"
        }
        "test_limit" => "too many connectivity tests are under way at once",
        "local_discovery" => {
            "a local discovery bubble while local discovery is off, or one that was sent to this host alone (RFC 4380 \
             §5.2.8)"
        }
        "local_bubble_refused" => {
            "a local discovery bubble that is not from a Teredo client on this link and behind the same NAT (RFC 4380 \
             §5.2.8)"
        }
        "local_bubble_limit" => {
            "more local discovery bubbles than are answered or remembered; a host on the link may be forging them"
        }
        "not_relayed" => {
            "server: the packet is neither a bubble nor ICMPv6; servers carry no traffic (RFC 4380 §5.3.1)"
        }
        "spoofed_source" => {
            "server: the inner source address does not agree with the outer one (RFC 4380 §5.3.1); relay: the source \
             is not of the side that the packet came from"
        }
        "self_loop" => {
            "server: the packet would come back to the server itself; relay: it goes from Teredo to Teredo, or to a \
             server that claims to be its own client"
        }
        "hop_limit" => "the hop limit ran out",
        "oversized" => {
            "server: there is more behind the packet than trailers need, or the ICMPv6 message is too long"
        }
        "rate_limited" => {
            "server: no more is passed on to this destination, or to all together; 'relay_rate' and 'relay_total' \
             under [server] in the configuration say how much"
        }
        "unauthenticated" => {
            "authentication is required, and is missing or wrong (RFC 4380 §5.2.2): the identifier or the secret is \
             not the one that the other side has"
        }
        "congestion" => {
            "a router on the way reported congestion to a packet whose sender does not listen to that (RFC 6040 §4.2)"
        }
        "not_served" => {
            "relay: the destination is outside the networks that it serves (RFC 4380 §5.4.2); --serve names them"
        }
        "no_native_path" => "there is no way to the IPv6 Internet from here",
        _ => return None,
    })
}
