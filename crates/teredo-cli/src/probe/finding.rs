//! The findings: each has an identifier that never changes its meaning, a grade, and what to do about it.

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// Good to know.
    Note,
    /// Something works badly, or for others than this client.
    Warn,
    /// A client cannot qualify.
    Fail,
}

/// A kind of finding; `teredo explain` knows it by its identifier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) id: &'static str,
    pub(crate) grade: Grade,
    pub(crate) meaning: &'static str,
    pub(crate) next_step: &'static str,
}

/// A finding about one server or one NAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The identifier.
    pub(crate) id: &'static str,
    /// How much it matters.
    pub(crate) grade: Grade,
    /// The observation, in words.
    pub(crate) text: String,
    /// The next step.
    pub(crate) fix: &'static str,
}

impl Kind {
    /// A finding of this kind, in words of its own.
    pub(crate) fn found(&self, text: impl Into<String>) -> Finding {
        Finding {
            id: self.id,
            grade: self.grade,
            text: text.into(),
            fix: self.next_step,
        }
    }
}

/// Defines the kinds and the list of them all.
macro_rules! kinds {
    ($($name:ident = $id:literal, $grade:ident, $meaning:literal, $next:literal;)*) => {
        $(pub(super) const $name: Kind =
            Kind { id: $id, grade: Grade::$grade, meaning: $meaning, next_step: $next };)*

        /// Every kind of finding.
        pub(crate) const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    NAME_UNKNOWN = "name.unknown", Fail,
        "the name service knows no IPv4 address of this name",
        "check the spelling; 'getent ahostsv4 NAME' asks the same name service";
    NAME_SILENT = "name.silent", Fail,
        "the name service does not answer",
        "mend the name service (/etc/resolv.conf), or give the server's IPv4 address";
    ADDRESS_IMPOSSIBLE = "server.impossible-address", Fail,
        "the address belongs to no host of the Internet, so no server can have it; names that are blocked resolve to one",
        "give the name or the address of a Teredo server";
    ADDRESS_PRIVATE = "server.private-address", Fail,
        "the server has a private address, or sees this host at one; clients and servers refuse these",
        "set allow_private = true in client and server, for a lab; on the Internet, give the public address";
    SERVER_SILENT = "server.silent", Fail,
        "nothing came back, neither an answer nor an error: the host is not there, something drops UDP on the way, or a \
         private server does not answer strangers",
        "run 'tcpdump -ni any udp port 3544' here and on the server, and see where the datagrams end";
    SERVER_MUTE = "server.mute", Fail,
        "the server's host is there, and refuses other ports, but its port 3544 stays silent: a server that requires a \
         secret does so, and a firewall that drops the port",
        "set secret_file in the client if the server is private; otherwise open UDP port 3544 in the server's firewall";
    SERVER_SECRET = "server.secret", Fail,
        "a server is there and forwards bubbles, but does not answer solicitations without a secret (RFC 4380 §5.2.2)",
        "get a secret from the server's operator, and set secret_file in the client";
    SERVER_NO_PROCESS = "server.no-process", Fail,
        "the host answers that no process has UDP port 3544: the server does not run, or it is another host",
        "start the server ('systemctl status teredo-server' on it), or check the address";
    SERVER_NOT_TEREDO = "server.not-teredo", Fail,
        "datagrams come from the server's address, and none of them is an answer of a Teredo server: another program has \
         its UDP port 3544, or they are forged",
        "check the address; on that host, 'ss -lunp sport = :3544' names the program, as root";
    SERVER_OWN = "server.own-address", Fail,
        "the address is this host's own; a server does not answer what comes from its own addresses (RFC 4380 §5.3.1)",
        "probe from another host; here, 'teredo --socket /run/teredo/server.sock' shows the server";
    SERVER_UNREACHABLE = "server.unreachable", Fail,
        "a router, or this host, has no way to the address",
        "check the route with 'ip route get ADDRESS', and the address";
    SERVER_PROHIBITED = "server.prohibited", Fail,
        "a firewall on the way refuses the datagrams, and says so",
        "let UDP to port 3544 pass in the firewall that the text names";
    SERVER_BLOCKED_HERE = "server.blocked-here", Fail,
        "a firewall rule of this host drops or refuses what goes out",
        "allow outbound UDP to port 3544; 'nft list ruleset' shows the rules, as root";
    PRIMARY_SILENT = "primary.silent", Fail,
        "the secondary address answers, the primary one does not",
        "on the server, let UDP port 3544 of its primary address in; here, check that the first address is the right one";
    NAMED_BY_SECONDARY = "primary.is-secondary", Fail,
        "the server calls itself by another address: this one is its secondary address",
        "give the client the primary address that the text names";
    SECONDARY_SILENT = "secondary.silent", Fail,
        "the secondary address does not answer; without it no client can tell a symmetric NAT, so none qualifies \
         (RFC 4380 §5.2.1)",
        "name both addresses as PRIMARY,SECONDARY if it is not the next one; on the server, let UDP port 3544 of it in";
    SECONDARY_SAME = "secondary.same", Fail,
        "both addresses of the server are the same; a server needs two",
        "name both addresses as PRIMARY,SECONDARY";
    SECONDARY_OTHER = "secondary.elsewhere", Warn,
        "the server's second address is not the one that was asked: it answered from another one",
        "name both addresses to the client, as the text has them";
    SECONDARY_OWN_PREFIX = "secondary.own-prefix", Fail,
        "the secondary address advertises a prefix of its own instead of the primary's, so clients see two servers \
         (RFC 4380 §5.3.2)",
        "on the server, configure both addresses as one server, the primary one first";
    ANSWER_ELSEWHERE = "answer.other-address", Fail,
        "a solicitation without the cone bit was answered from another address than the one it was sent to \
         (RFC 4380 §5.3.2); clients refuse that",
        "on the server, bind both addresses, so that each answers for itself";
    ANSWER_PORT = "answer.other-port", Fail,
        "an answer came from another port than 3544; clients refuse that, and many NATs drop it",
        "on the server's side, take away what translates its source port";
    ANSWER_FORGED = "answer.forged", Warn,
        "datagrams came from the server's address with a nonce that was never sent; clients ignore them, and so does the \
         probe",
        "nothing; if it stays, somebody on the way tries to forge answers";
    ANSWER_MALFORMED = "answer.malformed", Warn,
        "the server's datagrams cannot be parsed as Teredo (RFC 4380 §5.1.1)",
        "tell the server's operator; what answers there may be no Teredo server";
    NONCE_MISSING = "answer.no-nonce", Fail,
        "the answer does not repeat the nonce, so anybody could forge it; clients refuse it (RFC 4380 §5.2.2)",
        "tell the server's operator, or take another server";
    NONCE_LEAKED = "server.leaks-nonces", Warn,
        "a solicitation without a nonce was answered with another client's nonce: a fault of miredo-server up to 1.2.6, which \
         gives the nonces of clients to strangers",
        "tell the server's operator; 'teredo server' does not have the fault";
    CONFIRMATION = "answer.confirmation", Note,
        "the confirmation byte is not 0, although no key was used (RFC 4380 §5.2.2)",
        "nothing; clients without a secret ignore the byte";
    IDENTIFIER = "answer.identifier", Note,
        "the answer carries an identifier or a keyed hash, although none was sent",
        "nothing; clients without a secret ignore both";
    ORIGIN_MISSING = "answer.no-origin", Fail,
        "the answer has no origin indication, so a client cannot learn its mapping (RFC 4380 §5.2.1)",
        "tell the server's operator, or take another server";
    RA_SOURCE = "advertisement.source", Fail,
        "the source of the router advertisement is not link-local (RFC 4861 §6.1.2)",
        "tell the server's operator, or take another server";
    RA_IDENTIFIER = "advertisement.identifier", Note,
        "the advertisement does not come from the link-local address that RFC 4380 §5.3.2 gives the server",
        "nothing; clients do not look at it";
    RA_DESTINATION = "advertisement.destination", Fail,
        "the advertisement is not addressed to the source of the solicitation (RFC 4380 §5.3.2)",
        "tell the server's operator, or take another server";
    RA_HOP_LIMIT = "advertisement.hop-limit", Fail,
        "the hop limit of the advertisement is not 255 (RFC 4861 §6.1.2)",
        "tell the server's operator, or take another server";
    RA_CHECKSUM = "advertisement.checksum", Fail,
        "the ICMPv6 checksum of the advertisement is wrong",
        "if it comes and goes, suspect a middlebox that rewrites addresses in payloads; otherwise tell the operator";
    RA_INVALID = "advertisement.invalid", Fail,
        "the packet is no valid router advertisement (RFC 4861 §6.1.2)",
        "tell the server's operator, or take another server";
    PREFIX_COUNT = "prefix.count", Fail,
        "the advertisement has not exactly one prefix (RFC 4380 §5.2.1)",
        "tell the server's operator, or take another server";
    PREFIX_OTHER = "prefix.foreign", Fail,
        "the prefix is not 2001:0:SERVER::/64",
        "tell the server's operator, or take another server";
    PREFIX_OBSOLETE = "prefix.obsolete", Fail,
        "the prefix is that of before RFC 4380, 3ffe:831f::/32, as old servers of Microsoft have it",
        "take another server; this one is too old";
    PREFIX_FLAGS = "prefix.flags", Note,
        "the flags of the prefix are unusual: it should be for addresses (A), and not on the link (L)",
        "nothing; Teredo clients do not look at them";
    PREFIX_LIFETIME = "prefix.lifetime", Warn,
        "the lifetimes of the prefix make no sense: the valid one is 0 or shorter than the preferred one",
        "tell the server's operator; strict clients drop their address";
    ROUTER_LIFETIME = "advertisement.router-lifetime", Note,
        "the server calls itself a default router; a Teredo server forwards no ordinary traffic",
        "nothing; Teredo clients do not look at it";
    MTU_MISSING = "advertisement.no-mtu", Note,
        "the advertisement has no MTU, as with Microsoft's servers",
        "nothing; clients use 1280";
    MTU_ODD = "advertisement.mtu", Note,
        "the announced MTU is not 1280 (RFC 4380 §5.1.2)",
        "nothing; our clients use 1280, and those that believe it may lose longer packets";
    CONE_IGNORED = "cone.ignored", Warn,
        "a solicitation with the cone bit was answered from the address that it was sent to (RFC 4380 §5.3.2): clients \
         that follow the RFC to the letter take every NAT for a cone NAT",
        "tell the server's operator; clients that follow RFC 5991, as ours, do not care";
    CONE_SILENT = "cone.silent", Note,
        "solicitations with the cone bit are not answered, although plain ones are",
        "nothing for our clients; on the server, check that each address may send";
    UNCHECKED = "server.unchecked", Note,
        "the server answers a solicitation with a wrong checksum, as miredo-server does (RFC 4861 §6.1.1)",
        "nothing";
    BUBBLE_LOST = "bubble.not-forwarded", Warn,
        "the server does not forward bubbles, without which peers behind most NATs cannot be reached (RFC 4380 §5.3.1)",
        "tell the server's operator, or take another server";
    BUBBLE_ORIGIN = "bubble.no-origin", Warn,
        "forwarded bubbles have no origin indication, or a wrong one, so relays cannot be answered (RFC 4380 §5.3.1)",
        "tell the server's operator, or take another server";
    BUBBLE_CUT = "bubble.cut", Note,
        "the server cuts off what is behind a bubble, so the extensions of RFC 6081 do not work",
        "nothing; RFC 4380 works";
    OPEN_RELAY = "server.open-relay", Warn,
        "the server forwards any bytes behind a bubble to any address: a fault of miredo-server up to 1.2.6, which \
         strangers can use to send data in its name",
        "tell the server's operator; 'teredo server' bounds them";
    SPOOFED = "server.forwards-spoofed", Warn,
        "the server forwards a packet whose Teredo source is not its sender (RFC 4380 §5.3.1, rule 5)",
        "tell the server's operator; strangers can send in the name of its clients";
    NAT_SYMMETRIC = "nat.symmetric", Warn,
        "the NAT gives each destination another port. By RFC 6081 a client reaches peers without a NAT and behind cone and \
         address-restricted ones, if the NAT keeps port numbers or counts them up also those behind port-restricted ones, and \
         native hosts through relays of this program; by RFC 4380 alone it has no address",
        "look for 'endpoint-independent mapping' or 'full cone' in the router's settings; on a Linux router, masquerade \
         without 'random' and 'fully-random'";
    NAT_SEVERAL_ADDRESSES = "nat.several-addresses", Warn,
        "the NAT, or the route, gives each of the server's addresses another public address, so that a client reaches few \
         peers: those without a NAT and behind cone ones (RFC 6081, figure 1), and behind address-restricted ones if it begins",
        "send both by one way: several uplinks, or a pool of addresses in a carrier's NAT, are the cause";
    NAT_OPEN_INPUT = "nat.open-input", Warn,
        "the router takes early datagrams for its own, and then gives the connection another port (Debian bug #404365)",
        "on the router, drop what comes in from outside and belongs to no connection (the hook 'input')";
    NAT_SHARED = "nat.carrier-grade", Note,
        "this host has an address of 100.64.0.0/10: the provider has a NAT of its own, with many customers behind it",
        "nothing here changes that NAT; ask the provider for a public address if it is symmetric";
    NAT_DOUBTFUL = "nat.port-dependence", Note,
        "the mapping differs between the server's two addresses; both have the same port, so it is not seen whether another \
         port of one address would differ too. The stricter kind is assumed, which nearly all such NATs are",
        "nothing";
    FIREWALL = "nat.firewall", Note,
        "there is no NAT, but a firewall stops datagrams from where nothing was sent to: on this host or on the way",
        "open the client's port in this host's rules with the agent: 'teredo firewall'";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_unique_words() {
        let mut ids: Vec<_> = ALL.iter().map(|kind| kind.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for kind in ALL {
            let letters = |c: char| c.is_ascii_lowercase() || c == '-' || c == '.';
            assert!(
                kind.id.chars().all(letters) && kind.id.contains('.'),
                "{}",
                kind.id
            );
            assert!(
                !kind.meaning.is_empty() && !kind.next_step.ends_with('.'),
                "{}",
                kind.id
            );
        }
    }
}
