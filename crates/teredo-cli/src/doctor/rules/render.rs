//! A rule in the words of `nft`, for people. A part without a short form is `…`.

use std::net::{Ipv4Addr, Ipv6Addr};

use teredo_nft::{CtKey, Expression, Field, KeyType, MetaKey, Operator, PayloadBase, Verdict};

use super::ruleset::{Row, Table};

/// The longest text, in characters.
const LONGEST: usize = 100;

pub(crate) fn render(table: &Table, rule: &Row) -> String {
    let mut words: Vec<String> = Vec::new();
    // The fields that the registers hold, side by side if there are several.
    let mut loaded: Vec<(String, Format)> = Vec::new();
    let mut mask: Option<Vec<u8>> = None;
    let mut protocol: Option<&'static str> = None;
    let mut ipv6 = false;
    for expression in &rule.expressions {
        match expression {
            Expression::Load { field, register } => {
                if *register == 0 {
                    loaded.clear();
                }
                mask = None;
                loaded.push(name(field, protocol, ipv6));
            }
            Expression::Fib { .. } => loaded = vec![("fib".to_owned(), Format::Number)],
            Expression::Mask { mask: bits, .. } => mask = Some(bits.clone()),
            Expression::Compare {
                operator, value, ..
            } => {
                let Some((field, format)) = loaded.last() else {
                    continue;
                };
                if *format == Format::Protocol {
                    protocol = protocol_name(value);
                }
                if *format == Format::Family {
                    ipv6 = value.first() == Some(&10);
                }
                // `ip saddr` and `udp dport` imply what comes before them.
                if matches!(format, Format::Family | Format::Protocol)
                    && *operator == Operator::Equal
                    && is_implied(rule, expression)
                {
                    continue;
                }
                let value = match (&mask, format) {
                    (Some(mask), Format::State) => states(mask),
                    (Some(mask), Format::Ipv4) => prefix(value, mask),
                    (Some(_), _) => "…".to_owned(),
                    (None, format) => format.show(value),
                };
                let operator = match (operator, &mask, format) {
                    (Operator::NotEqual, Some(_), Format::State) => "",
                    (Operator::Equal, ..) => "",
                    (Operator::NotEqual, ..) => "!= ",
                    (Operator::LessThan, ..) => "< ",
                    (Operator::LessThanEqual, ..) => "<= ",
                    (Operator::GreaterThan, ..) => "> ",
                    _ => ">= ",
                };
                words.push(format!("{field} {operator}{value}"));
            }
            Expression::Range {
                inverted, from, to, ..
            } => {
                if let Some((field, format)) = loaded.last() {
                    let not = if *inverted { "!= " } else { "" };
                    words.push(format!(
                        "{field} {not}{}-{}",
                        format.show(from),
                        format.show(to)
                    ));
                }
            }
            Expression::Lookup {
                set,
                inverted,
                value,
                ..
            } => {
                let fields: Vec<_> = loaded.iter().map(|(name, _)| name.as_str()).collect();
                let not = if *inverted { "!= " } else { "" };
                let map = if value.is_some() { "vmap " } else { "" };
                let format = loaded.last().map(|(_, format)| *format);
                let what = contents(table, set, format.filter(|_| loaded.len() == 1));
                words.push(format!("{} {map}{not}{what}", fields.join(" . ")));
            }
            Expression::Verdict(verdict) => words.push(match verdict {
                Verdict::Accept => "accept".to_owned(),
                Verdict::Drop => "drop".to_owned(),
                Verdict::Return => "return".to_owned(),
                Verdict::Jump(chain) => format!("jump {chain}"),
                Verdict::Goto(chain) => format!("goto {chain}"),
            }),
            Expression::Reject => words.push("reject".to_owned()),
            Expression::Neutral(name) if name == "log" || name == "notrack" => {
                words.push(name.clone());
            }
            Expression::XtMatch(found) if found.name == "comment" => {}
            Expression::XtMatch(found) => words.push(format!("-m {}", found.name)),
            Expression::XtTarget(target) => words.push(format!("-j {}", target.name)),
            Expression::Other(name) => words.push(format!("{name} …")),
            _ => {}
        }
    }
    let mut text = words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Whether a later match of the rule is on the header of this family or protocol.
fn is_implied(rule: &Row, expression: &Expression) -> bool {
    let later = rule
        .expressions
        .iter()
        .skip_while(|other| *other != expression);
    later.skip(1).any(|other| {
        matches!(
            other,
            Expression::Load {
                field: Field::Payload { .. },
                ..
            }
        )
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Name,
    Number,
    Port,
    Ipv4,
    Ipv6,
    Protocol,
    Family,
    State,
}

impl Format {
    fn show(self, value: &[u8]) -> String {
        match self {
            Self::Name => {
                let end = value.iter().position(|&byte| byte == 0);
                let text = String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]);
                let wild = if end.is_none() && value.len() < 16 {
                    "*"
                } else {
                    ""
                };
                format!("\"{}{wild}\"", crate::text::plain(&text))
            }
            Self::Port => match <[u8; 2]>::try_from(value) {
                Ok(bytes) => u16::from_be_bytes(bytes).to_string(),
                Err(_) => "…".to_owned(),
            },
            Self::Ipv4 => match <[u8; 4]>::try_from(value) {
                Ok(bytes) => Ipv4Addr::from(bytes).to_string(),
                // Shorter for a network on a byte's boundary.
                Err(_) => prefix(value, &vec![0xff; value.len()]),
            },
            Self::Ipv6 => match <[u8; 16]>::try_from(value) {
                Ok(bytes) => Ipv6Addr::from(bytes).to_string(),
                Err(_) => "…".to_owned(),
            },
            Self::Protocol => match protocol_name(value) {
                Some(name) => name.to_owned(),
                None => value.first().copied().unwrap_or_default().to_string(),
            },
            Self::Family => if value.first() == Some(&10) {
                "ipv6"
            } else {
                "ipv4"
            }
            .to_owned(),
            Self::State => match <[u8; 4]>::try_from(value) {
                Ok(bytes) => states(&bytes),
                Err(_) => "…".to_owned(),
            },
            Self::Number => match value {
                [one] => one.to_string(),
                [a, b, c, d] => u32::from_ne_bytes([*a, *b, *c, *d]).to_string(),
                _ => "…".to_owned(),
            },
        }
    }
}

fn name(field: &Field, protocol: Option<&'static str>, ipv6: bool) -> (String, Format) {
    let (text, format) = match *field {
        Field::Meta(MetaKey::Iifname) => ("iifname", Format::Name),
        Field::Meta(MetaKey::Oifname) => ("oifname", Format::Name),
        Field::Meta(MetaKey::Iif) => ("iif", Format::Number),
        Field::Meta(MetaKey::Oif) => ("oif", Format::Number),
        Field::Meta(MetaKey::L4Proto) => ("meta l4proto", Format::Protocol),
        Field::Meta(MetaKey::Nfproto) => ("meta nfproto", Format::Family),
        Field::Meta(MetaKey::SocketUserId) => ("meta skuid", Format::Number),
        Field::Meta(MetaKey::Mark) => ("meta mark", Format::Number),
        Field::Meta(MetaKey::PacketType) => ("meta pkttype", Format::Number),
        Field::Ct(CtKey::State) => ("ct state", Format::State),
        Field::Ct(CtKey::Status) => ("ct status", Format::Number),
        Field::Payload {
            base: PayloadBase::Network,
            offset,
            length,
        } => match (offset, length) {
            (12, 1..=4) => ("ip saddr", Format::Ipv4),
            (16, 1..=4) => ("ip daddr", Format::Ipv4),
            (9, 1) if !ipv6 => ("ip protocol", Format::Protocol),
            (8, 16) => ("ip6 saddr", Format::Ipv6),
            (24, 16) => ("ip6 daddr", Format::Ipv6),
            _ => ("…", Format::Number),
        },
        Field::Payload {
            base: PayloadBase::Transport,
            offset,
            length,
        } => {
            let of = protocol.unwrap_or("th");
            return match (offset, length) {
                (0, 2) => (format!("{of} sport"), Format::Port),
                (2, 2) => (format!("{of} dport"), Format::Port),
                (0, 1) => (format!("{of} type"), Format::Number),
                _ => ("…".to_owned(), Format::Number),
            };
        }
        _ => ("…", Format::Number),
    };
    (text.to_owned(), format)
}

fn protocol_name(value: &[u8]) -> Option<&'static str> {
    Some(match value.first()? {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmpv6",
        _ => return None,
    })
}

fn states(mask: &[u8]) -> String {
    let bits = <[u8; 4]>::try_from(mask).map_or(0, u32::from_ne_bytes);
    let names = [
        (1, "invalid"),
        (2, "established"),
        (4, "related"),
        (8, "new"),
        (64, "untracked"),
    ];
    let named = names.iter().filter(|(bit, _)| bits & bit != 0);
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

fn prefix(value: &[u8], mask: &[u8]) -> String {
    let length: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let mut bytes = [0; 4];
    for (to, byte) in bytes.iter_mut().zip(value) {
        *to = *byte;
    }
    format!("{}/{length}", Ipv4Addr::from(bytes))
}

/// A named set by its name, an anonymous one by its first elements.
fn contents(table: &Table, name: &str, format: Option<Format>) -> String {
    const SHOWN: usize = 4;
    let Some(set) = table.sets.get(name).filter(|_| name.starts_with("__")) else {
        return format!("@{name}");
    };
    let format = match (format, set.key) {
        (Some(format), _) => format,
        (None, KeyType::INET_SERVICE) => Format::Port,
        (None, KeyType::IPV4_ADDR) => Format::Ipv4,
        _ => return "{ … }".to_owned(),
    };
    let ends = set.intervals;
    let mut shown: Vec<String> = set
        .elements
        .iter()
        .filter(|element| !element.interval_end)
        .take(SHOWN)
        .map(|element| format.show(&element.key))
        .collect();
    shown.sort_by_key(|text| (text.len(), text.clone()));
    if ends || set.elements.len() > SHOWN {
        shown.push("…".to_owned());
    }
    format!("{{ {} }}", shown.join(", "))
}
