use std::time::Duration;

use netlink_packet_netfilter::nftables::{
    DataAttribute, ExpressionAttribute, ListAttribute, SetAttribute, SetDescription,
    SetElementAttribute, SetElementFlags, SetFlags, SetMessage,
};

use crate::{Expression, TableName, Verdict, comment, expression, rule::interface_name};

/// The type of a set's keys or of a map's values: the number by which `nft` knows it, and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyType {
    /// `nft`'s number for the type; the kernel keeps it and gives it no meaning.
    pub id: u32,
    /// Bytes.
    pub length: u32,
}

impl KeyType {
    /// `ipv4_addr`
    pub const IPV4_ADDR: Self = Self { id: 7, length: 4 };
    /// `ipv6_addr`
    pub const IPV6_ADDR: Self = Self { id: 8, length: 16 };
    /// `nf_proto`: the family of a packet, 2 for IPv4 and 10 for IPv6.
    pub const NF_PROTO: Self = Self { id: 2, length: 1 };
    /// `inet_proto`
    pub const INET_PROTO: Self = Self { id: 12, length: 1 };
    /// `inet_service`: a port, in network byte order.
    pub const INET_SERVICE: Self = Self { id: 13, length: 2 };
    /// `icmpv6_type`
    pub const ICMPV6_TYPE: Self = Self { id: 29, length: 1 };

    /// `ifname`: the name of an interface, padded with NUL bytes.
    pub const IFNAME: Self = Self { id: 41, length: 16 };
    /// `mark`: a number in host byte order.
    pub const MARK: Self = Self { id: 19, length: 4 };

    /// The concatenation `self . next`. Each part takes whole registers of four bytes.
    #[must_use]
    pub const fn then(self, next: Self) -> Self {
        Self {
            id: self.id << TYPE_BITS | next.id,
            length: self.length.next_multiple_of(4) + next.length.next_multiple_of(4),
        }
    }
}

/// `TYPE_BITS` of nft, which has a number of six bits for each type.
const TYPE_BITS: u32 = 6;

/// A named set or map to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    name: String,
    key: KeyType,
    value: Option<KeyType>,
    flags: SetFlags,
    timeout: Option<Duration>,
    size: Option<u32>,
}

impl Set {
    /// A set without flags.
    pub fn new(name: impl Into<String>, key: KeyType) -> Self {
        Self {
            name: name.into(),
            key,
            value: None,
            flags: SetFlags::empty(),
            timeout: None,
            size: None,
        }
    }

    /// A map without elements.
    pub fn map(name: impl Into<String>, key: KeyType, value: KeyType) -> Self {
        Self {
            value: Some(value),
            flags: SetFlags::Map,
            ..Self::new(name, key)
        }
    }

    /// Lets elements have a timeout (`flags timeout`).
    #[must_use]
    pub fn with_timeouts(mut self) -> Self {
        self.flags |= SetFlags::Timeout;
        self
    }

    /// Gives elements this timeout unless they have one of their own, in whole milliseconds.
    #[must_use]
    pub fn with_default_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self.with_timeouts()
    }

    /// Limits the number of elements.
    #[must_use]
    pub fn with_size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// Lets rules add elements (`flags dynamic`).
    #[must_use]
    pub fn dynamic(mut self) -> Self {
        self.flags |= SetFlags::Eval;
        self
    }

    /// A set without a name of its own: it belongs to the rule that looks in it.
    pub(crate) fn anonymous(key: KeyType) -> Self {
        Self {
            flags: SetFlags::Anonymous | SetFlags::Constant,
            ..Self::new(ANONYMOUS, key)
        }
    }

    /// `id` stands for the set in other requests of its batch.
    pub(crate) fn attributes(&self, table: &TableName, id: u32) -> Vec<SetAttribute> {
        let mut attributes = vec![
            SetAttribute::Table(table.name.clone()),
            SetAttribute::Name(self.name.clone()),
            SetAttribute::Flags(self.flags),
            SetAttribute::KeyType(self.key.id),
            SetAttribute::KeyLen(self.key.length),
            SetAttribute::Id(id),
        ];
        if let Some(value) = self.value {
            attributes.push(SetAttribute::DataType(value.id));
            attributes.push(SetAttribute::DataLen(value.length));
        }
        // Without it, `nft` takes these keys for big endian, and writes other keys into a saved ruleset.
        if matches!(self.key, KeyType::IFNAME | KeyType::MARK) {
            let host_endian = [
                &[NFTNL_UDATA_SET_KEYBYTEORDER, 4][..],
                &BYTEORDER_HOST_ENDIAN.to_ne_bytes(),
            ];
            attributes.push(SetAttribute::UserData(host_endian.concat()));
        }
        let timeout = self.timeout.map(milliseconds);
        attributes.extend(timeout.map(SetAttribute::Timeout));
        let size = self.size.map(|size| vec![SetDescription::Size(size)]);
        attributes.extend(size.map(SetAttribute::Description));
        attributes
    }
}

// include/libnftnl/udata.h and include/datatype.h of nft.
const NFTNL_UDATA_SET_KEYBYTEORDER: u8 = 0;
const BYTEORDER_HOST_ENDIAN: u32 = 1;

/// The kernel makes a name of its own from this template.
pub(crate) const ANONYMOUS: &str = "__set%d";

/// An element to be put into a set or removed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    key: Vec<u8>,
    timeout: Option<Duration>,
    comment: Option<String>,
}

impl Element {
    /// An element that stays until it is removed.
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            timeout: None,
            comment: None,
        }
    }

    /// The name of an interface, for a set of [`KeyType::IFNAME`].
    #[must_use]
    pub fn interface(name: &str) -> Self {
        Self::new(interface_name(name))
    }

    /// A port, for a set of [`KeyType::INET_SERVICE`].
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self::new(port.to_be_bytes())
    }

    /// Lets the kernel remove the element after `timeout`, in whole milliseconds.
    ///
    /// The set must have been made [with timeouts](Set::with_timeouts).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds a comment that `nft list ruleset` shows, cut after 127 bytes.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    pub(crate) fn attributes(&self) -> ListAttribute<SetElementAttribute> {
        let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(
            self.key.clone(),
        ))];
        if let Some(timeout) = self.timeout {
            attributes.push(SetElementAttribute::Timeout(milliseconds(timeout)));
        }
        if let Some(comment) = &self.comment {
            attributes.push(SetElementAttribute::UserData(comment::encode(comment)));
        }
        ListAttribute::Element(attributes)
    }
}

fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

/// A set in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetInfo {
    /// The set's name.
    pub name: String,
    /// The type of its keys.
    pub key: KeyType,
    /// Whether its elements may have a timeout.
    pub timeouts: bool,
    /// Whether its elements are ranges.
    pub intervals: bool,
    /// Whether its elements are ranges of concatenations, each part with a range of its own.
    pub concatenation: bool,
    /// Whether it is a map.
    pub map: bool,
    /// Whether its elements can be changed.
    pub constant: bool,
}

impl From<&SetMessage> for SetInfo {
    fn from(message: &SetMessage) -> Self {
        let mut name = String::new();
        let mut key = KeyType { id: 0, length: 0 };
        let mut flags = SetFlags::empty();
        for attribute in &message.attributes {
            match attribute {
                SetAttribute::Name(value) => name.clone_from(value),
                SetAttribute::KeyType(value) => key.id = *value,
                SetAttribute::KeyLen(value) => key.length = *value,
                SetAttribute::Flags(value) => flags = *value,
                _ => {}
            }
        }
        Self {
            name,
            key,
            timeouts: flags.contains(SetFlags::Timeout),
            intervals: flags.contains(SetFlags::Interval),
            concatenation: flags.contains(SetFlags::Concat),
            map: flags.contains(SetFlags::Map),
            constant: flags.contains(SetFlags::Constant),
        }
    }
}

/// An element that is in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementInfo {
    /// The key, of the length that the set's [`KeyType`] has.
    pub key: Vec<u8>,
    /// The timeout that it was given.
    pub timeout: Option<Duration>,
    /// The rest of the timeout.
    pub expires: Option<Duration>,
    /// Whether the key is the end of a range, itself no longer in it.
    pub interval_end: bool,
    /// The end of the range that begins with the key, in sets of concatenations; itself in it.
    pub key_end: Option<Vec<u8>>,
    /// The value of a verdict map.
    pub verdict: Option<Verdict>,
    /// Whether it may not match each time: it has an expression of its own that is no counter, such as a limit.
    pub conditional: bool,
    /// The comment that it was given.
    pub comment: Option<String>,
}

impl ElementInfo {
    /// The port that the key is, for a set of [`KeyType::INET_SERVICE`].
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        <[u8; 2]>::try_from(self.key.as_slice())
            .ok()
            .map(u16::from_be_bytes)
    }

    /// The name of the interface that the key is, for a set of [`KeyType::IFNAME`].
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        let end = self.key.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&self.key[..end]).ok()
    }

    pub(crate) fn new(attributes: &[SetElementAttribute]) -> Self {
        let mut info = Self {
            key: Vec::new(),
            timeout: None,
            expires: None,
            interval_end: false,
            key_end: None,
            verdict: None,
            conditional: false,
            comment: None,
        };
        for attribute in attributes {
            match attribute {
                SetElementAttribute::Key(DataAttribute::Value(key)) => info.key.clone_from(key),
                SetElementAttribute::Timeout(value) => {
                    info.timeout = Some(Duration::from_millis(*value))
                }
                SetElementAttribute::Expiration(value) => {
                    info.expires = Some(Duration::from_millis(*value))
                }
                SetElementAttribute::KeyEnd(nested) => {
                    info.key_end = nested.iter().find_map(value);
                }
                SetElementAttribute::Data(DataAttribute::Verdict(attributes)) => {
                    info.verdict = expression::verdict(attributes);
                }
                SetElementAttribute::Expression(expression) => {
                    info.conditional |= !matches!(
                        expression,
                        ExpressionAttribute::Name(name) if matches!(name.as_str(), "counter" | "last")
                    );
                }
                SetElementAttribute::ListExpressions(expressions) => {
                    let counts = |expression| matches!(expression, Expression::Neutral(_));
                    info.conditional |= !Expression::list(expressions).into_iter().all(counts);
                }
                SetElementAttribute::UserData(data) => info.comment = comment::decode(data),
                SetElementAttribute::Flags(flags) => {
                    info.interval_end = flags.contains(SetElementFlags::IntervalEnd);
                }
                _ => {}
            }
        }
        info
    }
}

/// NFTA_DATA_VALUE.
fn value(attribute: &netlink_packet_core::DefaultNla) -> Option<Vec<u8>> {
    use netlink_packet_core::Nla as _;
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    (attribute.kind() & 0x3fff == 1).then_some(value)
}
