//! The findings: each has the ID of the requirement that a packet breaks, or a name of its own.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Permitted, and worth knowing.
    Note,
    /// Against a recommendation, or a sign of trouble.
    Warn,
    /// Against a requirement.
    Fail,
}

impl Grade {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A finding about a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The requirement that the packet breaks, such as `R4380-5.2.2-02`, or a name such as `stall.bubble`.
    pub id: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// The observation, and why it is wrong.
    pub text: String,
}

/// A rule that a trace checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Its ID, which is that of its findings.
    pub id: &'static str,
    /// The grade of a breach.
    pub grade: Grade,
    /// The rule in a sentence, without a full stop.
    pub text: &'static str,
}

impl Rule {
    /// The rule is broken in this way.
    pub(crate) fn broken(self, text: impl Into<String>) -> Finding {
        Finding {
            id: self.id,
            grade: self.grade,
            text: text.into(),
        }
    }

    /// The rule may be broken in this way; the capture cannot tell.
    pub(crate) fn doubtful(self, text: impl Into<String>) -> Finding {
        Finding {
            grade: Grade::Note,
            ..self.broken(text)
        }
    }
}

/// Makes a constant for each rule, and a list of all.
macro_rules! rules {
    ($($name:ident = $grade:ident $id:literal, $text:literal;)*) => {
        $(pub(crate) const $name: Rule = Rule { id: $id, grade: Grade::$grade, text: $text };)*

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$($name),*];
        }
    };
}

// The requirements are those of docs/conformance.md; "R6081-5.2..." numbers the rules of RFC 6081 §5.2 alike.
rules! {
    // Addresses.
    OBSOLETE_PREFIX = Warn "R-OLD-01", "an address has the prefix 2001::/32, not 3ffe:831f::/32 from before RFC 4380";
    PRIVATE_MAPPING = Fail "R4380-4-03", "the IPv4 address in a Teredo address is one of the Internet";
    RESERVED_UG = Fail "R4380-4-05", "the U and G bits of a Teredo address are 0";
    RESERVED_Z = Fail "R5991-3.1-02", "the reserved bit of the flags is 0";
    PORT_ZERO = Fail "R4380-GU-05", "nothing is sent to port 0, so no address holds it";
    // Encapsulation.
    ORDER = Fail "R4380-5.1.1-04", "the authentication comes before the origin indication";
    TRUNCATED_ELEMENT = Fail "R4380-5.1.1-05", "the elements before the IPv6 packet are whole";
    NOT_TEREDO = Fail "R4380-5.2.3-01", "behind the elements is an IPv6 packet";
    LENGTH = Fail "R4380-5.2.3-02", "the IPv6 packet fits the datagram";
    // Solicitations.
    SOLICITATION_ENDS = Fail "R4380-5.2.1-01", "a solicitation goes from a link-local address to ff02::2, to port 3544";
    SOLICITATION_FORM = Fail "R4380-5.2.1-02", "a solicitation is valid Neighbor Discovery: hop limit 255, code 0, checksum";
    CONE_PHASE = Note "R5991-3.2-01", "a client does without the cone phase: its solicitations do not have the cone bit";
    NONCE_REUSED = Warn "R4380-5.2.2-03", "a client draws a new nonce for each solicitation";
    CONFIRMATION_FROM_CLIENT = Fail "R4380-5.2.2-05", "the confirmation byte of a client is 0";
    // Advertisements.
    ADVERTISEMENT_FORM = Fail "R4380-5.2.1-06", "an advertisement is valid Neighbor Discovery, has an origin indication, and has one prefix";
    NO_AUTHENTICATION = Fail "R4380-5.2.2-01", "the answer to a solicitation with authentication has one, too";
    NONCE_OF_NO_QUESTION = Warn "R4380-5.2.2-02", "an advertisement repeats the nonce of its solicitation";
    KEY_INVALID = Warn "R4380-5.2.2-06", "a confirmation byte other than 0 says that the server no longer accepts the client's key";
    PREFIX = Fail "R4380-5.3.2-02", "an advertisement holds one prefix: 2001::/32 with the server's IPv4 address, /64";
    SERVER_LINK_LOCAL = Note "R4380-5.3.2-03", "an advertisement comes from the link-local address of its server";
    ADVERTISEMENT_DESTINATION = Fail "R4380-5.3.2-04", "an advertisement goes to the IPv6 source of its solicitation, byte for byte";
    ADVERTISEMENT_PORT = Fail "R4380-5.3.2-05", "an advertisement comes from port 3544";
    CONE_IGNORED = Fail "R4380-5.3.2-06", "a solicitation with the cone bit is answered from the server's other address, one without from the same";
    MTU = Note "R4380-5.1.2-01", "the advertised MTU is 1280";
    // Servers.
    DATA_TO_SERVER = Warn "R4380-5.3.1-02", "a server gets bubbles and ICMPv6 alone; it drops data";
    SOURCE_OTHER_THAN_MAPPED = Warn "R4380-5.3.1-06", "the outer source of a packet to a server is the mapping in its Teredo source";
    NO_ORIGIN = Warn "R4380-5.3.1-14", "a server passes a packet on to its own client with an origin indication";
    FORWARDED_TO_ITSELF = Fail "R4380-5.3.1-16", "a server sends nothing to itself";
    // Bubbles.
    PRIVATE_TARGET = Fail "R4380-5.2.4-07", "nothing is sent to a mapped address that is not on the Internet";
    WRONG_SERVER = Fail "R4380-5.2.6-03", "an indirect bubble goes to the server in the peer's address";
    BUBBLE_TOO_SOON = Fail "R4380-5.2.6-04", "between two bubbles to a peer pass 2 s";
    BUBBLES_TOO_MANY = Fail "R4380-5.2.6-05", "a peer gets no more than 4 bubbles in 300 s without a direct answer";
    DISCOVERY_FORM = Fail "R4380-5.2.8-03", "a discovery bubble goes to 224.0.0.253, port 3544, with a time to live of 1, and has the prescribed form";
    // Ping tests and relays.
    SHORT_PING_NONCE = Note "R4380-5.2.9-02", "the nonce of a ping test has 64 bits or more";
    PING_NONCE_UNKNOWN = Warn "R4380-5.2.3-08", "the reply to a ping test repeats its nonce; another one proves nothing";
    RELAY_REFUSES = Warn "R4380-5.4.2-02", "the outer source of a packet to a relay is the mapping in its Teredo source";
    // Trailers.
    NONCE_TRAILER = Warn "R6081-4.2-01", "a nonce trailer has 4 bytes";
    ALTERNATE_TRAILER = Warn "R6081-4.3-01", "an alternate address trailer has one to four addresses and ports";
    DISCOVERY_TRAILER = Warn "R6081-4.4-01", "a neighbor discovery trailer has 4 bytes, and says solicitation or advertisement";
    RANDOM_PORT_TRAILER = Warn "R6081-4.5-01", "a random port trailer has 2 bytes";
    ALTERNATE_IN_DIRECT = Warn "R6081-4.3-02", "alternate addresses are in indirect bubbles alone";
    DISCARD_TRAILER = Warn "R6081-5.1.2-02", "a packet with an unknown trailer of types 64 to 127 is dropped by a node that does not know it";
    STRAY_BYTES = Note "R6081-5.1.2-04", "bytes behind the packet that are no trailer are ignored";
    NONCE_ANSWERS_NOTHING = Fail "R6081-5.2.4.2-01", "a direct bubble repeats the nonce of the peer's indirect bubble";
    NONCE_BEFORE_QUESTION = Note "R6081-5.2.4.2-02", "a direct bubble has no nonce before an indirect one was received";
    // Without a requirement.
    WRONG_CHECKSUM = Warn "packet.checksum", "the checksum inside a packet is right";
    STALLED_SOLICITATION = Warn "stall.solicitation", "a solicitation is answered";
    STALLED_BUBBLE = Warn "stall.bubble", "bubbles to a peer have a direct answer";
    STALLED_PING = Warn "stall.ping", "a ping test to a native host has a reply";
}

#[cfg(test)]
mod tests;
