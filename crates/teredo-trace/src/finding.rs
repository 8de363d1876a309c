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

/// A rule, with its ID and the grade of a breach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    id: &'static str,
    grade: Grade,
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
    ($($name:ident = $grade:ident $id:literal;)*) => {
        $(pub(crate) const $name: Rule = Rule { id: $id, grade: Grade::$grade };)*

        /// The IDs of all rules.
        #[cfg(test)]
        const IDS: &[&str] = &[$($id),*];
    };
}

// The requirements are those of docs/conformance.md; "R6081-5.2..." numbers the rules of RFC 6081 §5.2 alike.
rules! {
    // Addresses.
    OBSOLETE_PREFIX = Warn "R-OLD-01";
    PRIVATE_MAPPING = Fail "R4380-4-03";
    RESERVED_UG = Fail "R4380-4-05";
    RESERVED_Z = Fail "R5991-3.1-02";
    PORT_ZERO = Fail "R4380-GU-05";
    // Encapsulation.
    ORDER = Fail "R4380-5.1.1-04";
    TRUNCATED_ELEMENT = Fail "R4380-5.1.1-05";
    NOT_TEREDO = Fail "R4380-5.2.3-01";
    LENGTH = Fail "R4380-5.2.3-02";
    // Solicitations.
    SOLICITATION_ENDS = Fail "R4380-5.2.1-01";
    SOLICITATION_FORM = Fail "R4380-5.2.1-02";
    CONE_PHASE = Note "R5991-3.2-01";
    NONCE_REUSED = Warn "R4380-5.2.2-03";
    CONFIRMATION_FROM_CLIENT = Fail "R4380-5.2.2-05";
    // Advertisements.
    ADVERTISEMENT_FORM = Fail "R4380-5.2.1-06";
    NO_AUTHENTICATION = Fail "R4380-5.2.2-01";
    NONCE_OF_NO_QUESTION = Warn "R4380-5.2.2-02";
    KEY_INVALID = Warn "R4380-5.2.2-06";
    PREFIX = Fail "R4380-5.3.2-02";
    SERVER_LINK_LOCAL = Note "R4380-5.3.2-03";
    ADVERTISEMENT_DESTINATION = Fail "R4380-5.3.2-04";
    ADVERTISEMENT_PORT = Fail "R4380-5.3.2-05";
    CONE_IGNORED = Fail "R4380-5.3.2-06";
    MTU = Note "R4380-5.1.2-01";
    // Servers.
    DATA_TO_SERVER = Warn "R4380-5.3.1-02";
    SOURCE_OTHER_THAN_MAPPED = Warn "R4380-5.3.1-06";
    NO_ORIGIN = Warn "R4380-5.3.1-14";
    FORWARDED_TO_ITSELF = Fail "R4380-5.3.1-16";
    // Bubbles.
    PRIVATE_TARGET = Fail "R4380-5.2.4-07";
    WRONG_SERVER = Fail "R4380-5.2.6-03";
    BUBBLE_TOO_SOON = Fail "R4380-5.2.6-04";
    BUBBLES_TOO_MANY = Fail "R4380-5.2.6-05";
    DISCOVERY_FORM = Fail "R4380-5.2.8-03";
    // Ping tests and relays.
    SHORT_PING_NONCE = Note "R4380-5.2.9-02";
    PING_NONCE_UNKNOWN = Warn "R4380-5.2.3-08";
    RELAY_REFUSES = Warn "R4380-5.4.2-02";
    // Trailers.
    NONCE_TRAILER = Warn "R6081-4.2-01";
    ALTERNATE_TRAILER = Warn "R6081-4.3-01";
    DISCOVERY_TRAILER = Warn "R6081-4.4-01";
    RANDOM_PORT_TRAILER = Warn "R6081-4.5-01";
    ALTERNATE_IN_DIRECT = Warn "R6081-4.3-02";
    DISCARD_TRAILER = Warn "R6081-5.1.2-02";
    STRAY_BYTES = Note "R6081-5.1.2-04";
    NONCE_ANSWERS_NOTHING = Fail "R6081-5.2.4.2-01";
    NONCE_BEFORE_QUESTION = Note "R6081-5.2.4.2-02";
    // Without a requirement.
    WRONG_CHECKSUM = Warn "packet.checksum";
    STALLED_SOLICITATION = Warn "stall.solicitation";
    STALLED_BUBBLE = Warn "stall.bubble";
    STALLED_PING = Warn "stall.ping";
}

#[cfg(test)]
mod tests;
