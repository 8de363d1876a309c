//! The expressions of a rule in the kernel, for programs that ask what the rule does to a packet.

use netlink_packet_core::{DefaultNla, Nla as _, NlasIterator};
use netlink_packet_netfilter::nftables::{
    self, Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Register, VerdictAttribute,
};

use crate::{CtKey, Field, PayloadBase, Verdict, raw};

/// A step of a rule. A register is one of sixteen, of four bytes each; a longer value takes several in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expression {
    /// Loads something of the packet.
    Load {
        /// The thing.
        field: Field,
        /// The first register that it is loaded into.
        register: u32,
    },
    /// Loads the result of a look-up of the packet's addresses in the routing table (`fib`).
    Fib {
        /// The kernel's number of the result: 1 and 2 the interface, 3 the type of the address.
        result: u32,
        /// The kernel's bits: 1 the source address, 2 the destination, 32 whether there is a result at all.
        flags: u32,
        /// The register of the result.
        register: u32,
    },
    /// Puts a constant into registers.
    Constant {
        /// The first register.
        register: u32,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Computes `(register & mask) ^ xor`.
    Mask {
        /// The first register of the operand.
        from: u32,
        /// The first register of the result.
        to: u32,
        /// The bits to keep.
        mask: Vec<u8>,
        /// The bits to turn over.
        xor: Vec<u8>,
    },
    /// Matches if the comparison holds.
    Compare {
        /// The first register.
        register: u32,
        /// The comparison.
        operator: Operator,
        /// The value to compare with.
        value: Vec<u8>,
    },
    /// Matches if the registers lie between two values, or if they do not.
    Range {
        /// The first register.
        register: u32,
        /// Whether it matches outside of the range.
        inverted: bool,
        /// The least value.
        from: Vec<u8>,
        /// The greatest value.
        to: Vec<u8>,
    },
    /// Matches if the registers are in a set. In a map, the value is loaded; a verdict takes effect at once.
    Lookup {
        /// The first register.
        register: u32,
        /// The set, in the same table.
        set: String,
        /// Whether it matches what is not in the set.
        inverted: bool,
        /// The register for a map's value; none for a set; 16 for a verdict.
        value: Option<u32>,
    },
    /// Gives the packet a mark.
    SetMark {
        /// The register of the mark.
        register: u32,
    },
    /// Ends the rule.
    Verdict(Verdict),
    /// Ends the rule: the packet is dropped, and its sender is told.
    Reject,
    /// Lets every packet go on to the next expression: counters, logs and changes of the packet.
    Neutral(String),
    /// A match of iptables.
    XtMatch(Xt),
    /// A target of iptables.
    XtTarget(Xt),
    /// Any other expression, by its name.
    Other(String),
}

/// An extension of iptables in a rule of `iptables-nft`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Xt {
    /// Its name, such as `conntrack` or `REJECT`.
    pub name: String,
    /// The revision of its data.
    pub revision: u32,
    /// Its data, as the kernel's header of that name lays them out.
    pub data: Vec<u8>,
}

/// The number of the verdict register among those of [`Expression`].
pub const VERDICT_REGISTER: u32 = 16;

impl Expression {
    pub(crate) fn list(expressions: &[ListAttribute<ExpressionAttribute>]) -> Vec<Self> {
        let elements = expressions
            .iter()
            .filter_map(|expression| match expression {
                ListAttribute::Element(attributes) => Some(Self::new(attributes)),
                _ => None,
            });
        elements.collect()
    }

    /// The expression of this name with these attributes.
    pub(crate) fn read(name: String, data: &[u8]) -> Self {
        let read = match name.as_str() {
            "meta" => raw::all(data).and_then(|meta: Vec<_>| load_meta(&meta)),
            "payload" => raw::all(data).and_then(|payload: Vec<_>| load_payload(&payload)),
            "cmp" => raw::all(data).and_then(|cmp: Vec<_>| compare(&cmp)),
            "bitwise" => raw::all(data).and_then(|bitwise: Vec<_>| mask(&bitwise)),
            "immediate" => raw::all(data).and_then(|immediate: Vec<_>| constant(&immediate)),
            "lookup" => raw::all(data).and_then(|lookup: Vec<_>| look_up(&lookup)),
            name => raw::all(data).and_then(|attributes: Vec<_>| other(name, &attributes)),
        };
        read.unwrap_or(Self::Other(name))
    }

    fn new(attributes: &[ExpressionAttribute]) -> Self {
        let name = attributes.iter().find_map(|attribute| match attribute {
            ExpressionAttribute::Name(name) => Some(name.clone()),
            _ => None,
        });
        let name = name.unwrap_or_default();
        let data = attributes.iter().find_map(|attribute| match attribute {
            ExpressionAttribute::Data(data) => Some(data),
            _ => None,
        });
        let read = match data {
            Some(Expressions::Meta(meta)) => load_meta(meta),
            Some(Expressions::Payload(payload)) => load_payload(payload),
            Some(Expressions::Cmp(cmp)) => compare(cmp),
            Some(Expressions::Bitwise(bitwise)) => mask(bitwise),
            Some(Expressions::Immediate(immediate)) => constant(immediate),
            Some(Expressions::Lookup(lookup)) => look_up(lookup),
            Some(Expressions::Other { attributes, .. }) => other(&name, attributes),
            Some(Expressions::Unknown(attributes)) => other(&name, attributes),
            None => other(&name, &[]),
            Some(_) => None,
        };
        read.unwrap_or(Self::Other(name))
    }
}

fn load_meta(meta: &[Meta]) -> Option<Expression> {
    let key = meta.iter().find_map(|one| match one {
        Meta::Key(key) => Some(*key),
        _ => None,
    })?;
    let source = meta.iter().find_map(|one| match one {
        Meta::SourceRegister(register) => Some(*register),
        _ => None,
    });
    if let Some(source) = source {
        return Some(match (key, index(source)) {
            (MetaKey::Mark, Some(register)) => Expression::SetMark { register },
            _ => Expression::Neutral("meta".to_owned()),
        });
    }
    let register = meta.iter().find_map(|one| match one {
        Meta::DestinationRegister(register) => index(*register),
        _ => None,
    })?;
    let field = Field::Meta(key);
    Some(Expression::Load { field, register })
}

fn load_payload(payload: &[Payload]) -> Option<Expression> {
    let (mut base, mut offset, mut length, mut register) = (None, 0, 0, None);
    for one in payload {
        match one {
            Payload::SourceRegister(_) => return Some(Expression::Neutral("payload".to_owned())),
            Payload::DestinationRegister(value) => register = index(*value),
            Payload::Base(0) => base = Some(PayloadBase::Link),
            Payload::Base(1) => base = Some(PayloadBase::Network),
            Payload::Base(2) => base = Some(PayloadBase::Transport),
            Payload::Offset(value) => offset = *value,
            Payload::Len(value) => length = *value,
            _ => {}
        }
    }
    let field = Field::payload(base?, offset, length);
    let register = register?;
    Some(Expression::Load { field, register })
}

fn compare(cmp: &[Cmp]) -> Option<Expression> {
    let (mut register, mut operator, mut value) = (None, None, None);
    for one in cmp {
        match one {
            Cmp::SourceRegister(number) => register = index(*number),
            Cmp::Op(op) => operator = Some(*op),
            Cmp::Data(DataAttribute::Value(bytes)) => value = Some(bytes.clone()),
            _ => {}
        }
    }
    Some(Expression::Compare {
        register: register?,
        operator: operator?,
        value: value?,
    })
}

fn mask(bitwise: &[Bitwise]) -> Option<Expression> {
    let (mut from, mut to, mut mask, mut xor) = (None, None, None, None);
    for one in bitwise {
        match one {
            Bitwise::SourceRegister(register) => from = index(*register),
            Bitwise::DestinationRegister(register) => to = index(*register),
            Bitwise::Mask(DataAttribute::Value(bytes)) => mask = Some(bytes.clone()),
            Bitwise::Xor(DataAttribute::Value(bytes)) => xor = Some(bytes.clone()),
            // A shift.
            Bitwise::Op(1..) => return None,
            _ => {}
        }
    }
    Some(Expression::Mask {
        from: from?,
        to: to?,
        mask: mask?,
        xor: xor?,
    })
}

fn constant(immediate: &[Immediate]) -> Option<Expression> {
    let mut register = None;
    for one in immediate {
        match one {
            Immediate::DestinationRegister(number) => register = index(*number),
            Immediate::Data(DataAttribute::Verdict(attributes)) => {
                return verdict(attributes).map(Expression::Verdict);
            }
            Immediate::Data(DataAttribute::Value(value)) => {
                let value = value.clone();
                let register = register?;
                return Some(Expression::Constant { register, value });
            }
            _ => {}
        }
    }
    None
}

fn look_up(lookup: &[Lookup]) -> Option<Expression> {
    let (mut register, mut set, mut inverted, mut value) = (None, None, false, None);
    for one in lookup {
        match one {
            Lookup::Set(name) => set = Some(name.clone()),
            Lookup::SourceRegister(number) => register = index(*number),
            Lookup::DestinationRegister(number) => value = Some(index(*number)?),
            // NFT_LOOKUP_F_INV
            Lookup::Flags(flags) => inverted = flags & 1 != 0,
            _ => {}
        }
    }
    Some(Expression::Lookup {
        register: register?,
        set: set?,
        inverted,
        value,
    })
}

/// The verdict of a rule, or of an element of a verdict map.
pub(crate) fn verdict(attributes: &[VerdictAttribute]) -> Option<Verdict> {
    let code = attributes.iter().find_map(|one| match one {
        VerdictAttribute::Code(code) => Some(code),
        _ => None,
    })?;
    let chain = || {
        attributes.iter().find_map(|one| match one {
            VerdictAttribute::Chain(chain) => Some(chain.clone()),
            _ => None,
        })
    };
    Some(match code {
        nftables::Verdict::Other(0) => Verdict::Drop,
        nftables::Verdict::Other(1) => Verdict::Accept,
        nftables::Verdict::Return => Verdict::Return,
        nftables::Verdict::Jump => Verdict::Jump(chain()?),
        nftables::Verdict::Goto => Verdict::Goto(chain()?),
        _ => return None,
    })
}

/// Expressions for which the netlink crate has no type.
fn other(name: &str, attributes: &[DefaultNla]) -> Option<Expression> {
    let value = |kind: u16| {
        let attribute = attributes.iter().find(|one| one.kind() == kind);
        attribute.map(bytes)
    };
    let number = |kind: u16| {
        let value = value(kind)?;
        Some(u32::from_be_bytes(value.as_slice().try_into().ok()?))
    };
    let register = |kind: u16| index(Register::from(number(kind)?));
    let xt = || {
        Some(Xt {
            name: text(&value(1)?),
            revision: number(2).unwrap_or_default(),
            data: value(3).unwrap_or_default(),
        })
    };
    Some(match name {
        "match" => Expression::XtMatch(xt()?),
        "target" => Expression::XtTarget(xt()?),
        "reject" => Expression::Reject,
        // NFTA_CT_SREG, NFTA_CT_KEY, NFTA_CT_DREG.
        "ct" if value(4).is_some() => Expression::Neutral(name.to_owned()),
        "ct" => match CtKey::from_number(number(2)?) {
            Some(key) => Expression::Load {
                field: Field::Ct(key),
                register: register(1)?,
            },
            None => Expression::Other(format!("ct {}", ct_name(number(2)?)?)),
        },
        // NFTA_FIB_DREG, NFTA_FIB_RESULT, NFTA_FIB_FLAGS.
        "fib" => Expression::Fib {
            result: number(2)?,
            flags: number(3)?,
            register: register(1)?,
        },
        // NFTA_RANGE_SREG, NFTA_RANGE_OP, NFTA_RANGE_FROM_DATA, NFTA_RANGE_TO_DATA.
        "range" => Expression::Range {
            register: register(1)?,
            inverted: number(2)? == 1,
            from: data_value(&value(3)?)?,
            to: data_value(&value(4)?)?,
        },
        // NFTA_OBJREF_IMM_TYPE
        "objref" => object(number(1)),
        "dynset"
            if value(NFTA_DYNSET_EXPR).is_none() && value(NFTA_DYNSET_EXPRESSIONS).is_none() =>
        {
            Expression::Neutral(name.to_owned())
        }
        // A limit for each element, or a counter.
        "dynset" if counts(attributes) => Expression::Neutral(name.to_owned()),
        "counter" | "log" | "notrack" | "last" | "flow_offload" | "dup" => {
            Expression::Neutral(name.to_owned())
        }
        _ => return None,
    })
}

/// A reference to an object of this kind (`NFT_OBJECT_COUNTER` and so on); none if a map names the object.
fn object(kind: Option<u32>) -> Expression {
    let name = match kind {
        // Of the connection: a counter, a helper, a timeout.
        Some(1 | 3 | 7) => return Expression::Neutral("objref".to_owned()),
        // It chooses another route.
        Some(6) => return Expression::Neutral("tunnel".to_owned()),
        Some(8) => return Expression::Neutral("secmark".to_owned()),
        Some(2) => "a named quota",
        Some(4) => "a named limit",
        Some(5) => "a named ct count",
        // It does not match any more when there are as many as it may make.
        Some(9) => "ct expectation",
        Some(10) => "a named synproxy",
        None => "an object of a map",
        Some(_) => "an object of an unknown kind",
    };
    Expression::Other(name.to_owned())
}

const NFTA_DYNSET_EXPR: u16 = 7;
const NFTA_DYNSET_EXPRESSIONS: u16 = 10;

/// Whether nothing but counters is kept with the elements.
fn counts(attributes: &[DefaultNla]) -> bool {
    let names = attributes.iter().flat_map(|attribute| {
        let value = bytes(attribute);
        match attribute.kind() {
            NFTA_DYNSET_EXPR => vec![name_of(&value)],
            NFTA_DYNSET_EXPRESSIONS => NlasIterator::new(value.as_slice())
                .map(|element| name_of(element.ok()?.value()))
                .collect(),
            _ => Vec::new(),
        }
    });
    names
        .into_iter()
        .all(|name| matches!(name.as_deref(), Some("counter" | "last")))
}

/// NFTA_EXPR_NAME in nested attributes.
fn name_of(nested: &[u8]) -> Option<String> {
    let mut attributes = NlasIterator::new(nested).flatten();
    let name = attributes.find(|attribute| attribute.kind() == 1)?;
    Some(text(name.value()))
}

/// The name of a key of `ct` that no [`CtKey`] stands for.
fn ct_name(number: u32) -> Option<&'static str> {
    const NAMES: [&str; 24] = [
        "state",
        "direction",
        "status",
        "mark",
        "secmark",
        "expiration",
        "helper",
        "l3proto",
        "saddr",
        "daddr",
        "protocol",
        "proto-src",
        "proto-dst",
        "label",
        "packets",
        "bytes",
        "avgpkt",
        "zone",
        "event",
        "saddr",
        "daddr",
        "saddr",
        "daddr",
        "id",
    ];
    NAMES.get(usize::try_from(number).ok()?).copied()
}

fn bytes(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// NFTA_DATA_VALUE in nested attributes.
pub(crate) fn data_value(mut nested: &[u8]) -> Option<Vec<u8>> {
    const NFTA_DATA_VALUE: u16 = 1;
    const TYPE: u16 = 0x3fff;
    while let [a, b, c, d, ..] = *nested {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & TYPE;
        let value = nested.get(4..length)?;
        if kind == NFTA_DATA_VALUE {
            return Some(value.to_vec());
        }
        nested = nested.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The number of a register: those of sixteen bytes begin at every fourth.
fn index(register: Register) -> Option<u32> {
    let first = u32::from(Register::Reg32_00);
    Some(match register {
        Register::Verdict => VERDICT_REGISTER,
        Register::Reg1 => 0,
        Register::Reg2 => 4,
        Register::Reg3 => 8,
        Register::Reg4 => 12,
        other => u32::from(other)
            .checked_sub(first)
            .filter(|&number| number < VERDICT_REGISTER)?,
    })
}
