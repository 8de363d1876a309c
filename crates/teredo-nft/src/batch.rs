use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, Expressions, Lookup, NfTablesMessage, Register,
        RuleAttribute, RuleMessage, SetAttribute, SetElementList, SetElementMessage, SetMessage,
        TableAttribute, TableMessage,
    },
    none::ControlMessage,
};

use crate::{
    Chain, Element, Rule, Set, TableFlags, TableName, comment, rule::Step, set::ANONYMOUS,
    table::Family,
};

/// Requests that the kernel carries out together or not at all.
///
/// No packet ever sees only a part of them. The kernel carries them out in order, so a chain comes
/// before the rules that jump to it, and a set before the rules that look in it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    requests: Vec<Request>,
    sets: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) family: Family,
    pub(crate) flags: u16,
    pub(crate) message: NfTablesMessage,
}

impl Batch {
    /// A batch without requests.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a table unless it exists with the same flags.
    pub fn add_table(&mut self, table: &TableName, flags: TableFlags) -> &mut Self {
        let mut attributes = vec![TableAttribute::Name(table.name.clone())];
        if flags != TableFlags::default() {
            attributes.push(TableAttribute::Flags(flags.bits()));
        }
        self.push(
            table,
            NLM_F_CREATE,
            NfTablesMessage::NewTable(TableMessage { attributes }),
        )
    }

    /// Adds a table with a comment, which `nft list ruleset` shows. An existing table keeps the comment that it has.
    ///
    /// Linux 5.10 stores it; an older kernel ignores it.
    pub fn add_table_with_comment(
        &mut self,
        table: &TableName,
        flags: TableFlags,
        comment: &str,
    ) -> &mut Self {
        // The flags are written even if there are none: without them the kernel leaves a dormant table as it is.
        let attributes = vec![
            TableAttribute::Name(table.name.clone()),
            TableAttribute::Flags(flags.bits()),
            TableAttribute::UserData(comment::encode(comment)),
        ];
        self.push(
            table,
            NLM_F_CREATE,
            NfTablesMessage::NewTable(TableMessage { attributes }),
        )
    }

    /// Deletes a table with everything in it.
    pub fn delete_table(&mut self, table: &TableName) -> &mut Self {
        let attributes = vec![TableAttribute::Name(table.name.clone())];
        self.push(
            table,
            0,
            NfTablesMessage::DeleteTable(TableMessage { attributes }),
        )
    }

    /// Deletes a table, if it exists, and adds it anew without content.
    pub fn replace_table(&mut self, table: &TableName, flags: TableFlags) -> &mut Self {
        // To delete a missing table is an error, and to add an existing one is not.
        self.add_table(table, TableFlags::default())
            .delete_table(table)
            .add_table(table, flags)
    }

    /// Adds a chain unless it exists.
    pub fn add_chain(&mut self, table: &TableName, chain: &Chain) -> &mut Self {
        let attributes = chain.attributes(table);
        self.push(
            table,
            NLM_F_CREATE,
            NfTablesMessage::NewChain(ChainMessage { attributes }),
        )
    }

    /// Adds a rule after the others of its chain.
    pub fn add_rule(&mut self, table: &TableName, chain: &str, rule: Rule) -> &mut Self {
        let user_data = rule.user_data();
        let mut expressions = Vec::with_capacity(rule.steps.len());
        for step in rule.steps {
            let expression = match step {
                Step::Expression(expression) => expression,
                Step::Among { key, elements } => {
                    let id = self.add_set_with_id(table, &Set::anonymous(key));
                    self.push_elements(
                        table,
                        ANONYMOUS,
                        Some(id),
                        elements.into_iter().map(Element::new),
                    );
                    Expressions::Lookup(vec![
                        Lookup::Set(ANONYMOUS.to_owned()),
                        Lookup::SourceRegister(Register::Reg1),
                        Lookup::SetId(id),
                    ])
                }
            };
            expressions.push(expression.into());
        }
        let mut attributes = vec![
            RuleAttribute::Table(table.name.clone()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(expressions),
        ];
        attributes.extend(user_data.map(RuleAttribute::UserData));
        self.push(
            table,
            NLM_F_CREATE | NLM_F_APPEND,
            NfTablesMessage::NewRule(RuleMessage { attributes }),
        )
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, table: &TableName, chain: &str) -> &mut Self {
        let attributes = vec![
            RuleAttribute::Table(table.name.clone()),
            RuleAttribute::Chain(chain.to_owned()),
        ];
        self.push(
            table,
            0,
            NfTablesMessage::DeleteRule(RuleMessage { attributes }),
        )
    }

    /// Adds a set unless it exists.
    pub fn add_set(&mut self, table: &TableName, set: &Set) -> &mut Self {
        self.add_set_with_id(table, set);
        self
    }

    /// Deletes a set that no rule looks in.
    pub fn delete_set(&mut self, table: &TableName, set: &str) -> &mut Self {
        let attributes = vec![
            SetAttribute::Table(table.name.clone()),
            SetAttribute::Name(set.to_owned()),
        ];
        self.push(
            table,
            0,
            NfTablesMessage::DeleteSet(SetMessage { attributes }),
        )
    }

    /// Adds elements to a set. One that is in it already stays as it is, its timeout included.
    pub fn add_elements(
        &mut self,
        table: &TableName,
        set: &str,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        self.push_elements(table, set, None, elements)
    }

    /// Deletes elements of a set; each must be in it.
    pub fn delete_elements(
        &mut self,
        table: &TableName,
        set: &str,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        let message = element_message(table, set, None, elements);
        self.push(table, 0, NfTablesMessage::DeleteSetElement(message))
    }

    /// Deletes all elements of a set.
    pub fn flush_set(&mut self, table: &TableName, set: &str) -> &mut Self {
        let attributes = vec![
            SetElementList::Table(table.name.clone()),
            SetElementList::Set(set.to_owned()),
        ];
        self.push(
            table,
            0,
            NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }),
        )
    }

    /// The number of requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    fn push(&mut self, table: &TableName, flags: u16, message: NfTablesMessage) -> &mut Self {
        self.requests.push(Request {
            family: table.family,
            flags,
            message,
        });
        self
    }

    /// The number by which requests of this batch refer to a set that has no final name yet.
    fn add_set_with_id(&mut self, table: &TableName, set: &Set) -> u32 {
        self.sets += 1;
        let id = self.sets;
        let attributes = set.attributes(table, id);
        self.push(
            table,
            NLM_F_CREATE,
            NfTablesMessage::NewSet(SetMessage { attributes }),
        );
        id
    }

    fn push_elements(
        &mut self,
        table: &TableName,
        set: &str,
        id: Option<u32>,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        let message = element_message(table, set, id, elements);
        self.push(table, NLM_F_CREATE, NfTablesMessage::NewSetElement(message))
    }

    pub(crate) fn request(&self, index: usize) -> Option<&Request> {
        self.requests.get(index)
    }

    /// The batch on the wire. The mark of its beginning has the number `first`, the requests those
    /// that follow.
    ///
    /// Only the last request asks for an acknowledgement: errors are reported for every one, and a
    /// batch of any length gets one answer.
    pub(crate) fn serialize(&self, first: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut sequence = first;
        let last = self.requests.len().saturating_sub(1);
        write(
            &mut bytes,
            sequence,
            NLM_F_REQUEST,
            mark(ControlMessage::BatchBegin),
        );
        for (index, request) in self.requests.iter().enumerate() {
            sequence = sequence.wrapping_add(1);
            let ack = if index == last { NLM_F_ACK } else { 0 };
            write(
                &mut bytes,
                sequence,
                NLM_F_REQUEST | request.flags | ack,
                request.netfilter_message(),
            );
        }
        write(
            &mut bytes,
            sequence.wrapping_add(1),
            NLM_F_REQUEST,
            mark(ControlMessage::BatchEnd),
        );
        bytes
    }
}

impl Request {
    pub(crate) fn serialize(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(
            &mut bytes,
            sequence,
            NLM_F_REQUEST | self.flags,
            self.netfilter_message(),
        );
        bytes
    }

    fn netfilter_message(&self) -> NetfilterMessage {
        let header = NetfilterHeader::new(self.family.protocol(), 0, 0);
        NetfilterMessage::new(header, self.message.clone())
    }
}

/// The kernel learns from the mark's resource ID which subsystem the batch is for.
fn mark(message: ControlMessage) -> NetfilterMessage {
    let subsystem = u16::from(NFNL_SUBSYS_NFTABLES);
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem);
    NetfilterMessage::new(header, NetfilterMessageInner::None(message))
}

pub(crate) const NFNL_SUBSYS_NFTABLES: u8 = 10;

/// Appends a message.
pub(crate) fn write(bytes: &mut Vec<u8>, sequence: u32, flags: u16, message: NetfilterMessage) {
    let mut header = NetlinkHeader::default();
    header.sequence_number = sequence;
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len(), 0);
    message.serialize(&mut bytes[start..]);
    // The next message starts at a multiple of four (NLMSG_ALIGNTO).
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn element_message(
    table: &TableName,
    set: &str,
    id: Option<u32>,
    elements: impl IntoIterator<Item = Element>,
) -> SetElementMessage {
    let mut attributes = vec![
        SetElementList::Table(table.name.clone()),
        SetElementList::Set(set.to_owned()),
    ];
    attributes.extend(id.map(SetElementList::SetId));
    let elements = elements
        .into_iter()
        .map(|element| element.attributes())
        .collect();
    attributes.push(SetElementList::Elements(elements));
    SetElementMessage { attributes }
}

impl std::fmt::Display for Request {
    /// The request as `nft` would spell it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, object) = match &self.message {
            NfTablesMessage::NewTable(_) => ("add", "table"),
            NfTablesMessage::DeleteTable(_) => ("delete", "table"),
            NfTablesMessage::GetTable(_) => ("list", "table"),
            NfTablesMessage::NewChain(_) => ("add", "chain"),
            NfTablesMessage::GetChain(_) => ("list", "chains"),
            NfTablesMessage::GetRule(_) => ("list", "rules of chain"),
            NfTablesMessage::NewRule(_) => ("add", "rule"),
            NfTablesMessage::DeleteRule(_) => ("delete", "rules of chain"),
            NfTablesMessage::NewSet(_) => ("add", "set"),
            NfTablesMessage::DeleteSet(_) => ("delete", "set"),
            NfTablesMessage::GetSet(_) => ("list", "set"),
            NfTablesMessage::NewSetElement(_) => ("add", "element"),
            NfTablesMessage::DeleteSetElement(_) => ("delete", "element"),
            NfTablesMessage::GetSetElement(_) => ("list", "elements of set"),
            _ => ("change", "object"),
        };
        write!(f, "{verb} {object} {}", self.family)?;
        for name in self.names() {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

impl Request {
    fn names(&self) -> Vec<&str> {
        match &self.message {
            NfTablesMessage::NewTable(table)
            | NfTablesMessage::DeleteTable(table)
            | NfTablesMessage::GetTable(table) => table
                .attributes
                .iter()
                .filter_map(|attribute| match attribute {
                    TableAttribute::Name(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            NfTablesMessage::NewChain(chain) => chain
                .attributes
                .iter()
                .filter_map(|attribute| match attribute {
                    ChainAttribute::Table(name) | ChainAttribute::Name(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            NfTablesMessage::NewRule(rule)
            | NfTablesMessage::DeleteRule(rule)
            | NfTablesMessage::GetRule(rule) => rule
                .attributes
                .iter()
                .filter_map(|attribute| match attribute {
                    RuleAttribute::Table(name) | RuleAttribute::Chain(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            NfTablesMessage::NewSet(set)
            | NfTablesMessage::DeleteSet(set)
            | NfTablesMessage::GetSet(set) => set
                .attributes
                .iter()
                .filter_map(|attribute| match attribute {
                    SetAttribute::Table(name) | SetAttribute::Name(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            NfTablesMessage::NewSetElement(list)
            | NfTablesMessage::DeleteSetElement(list)
            | NfTablesMessage::GetSetElement(list) => list
                .attributes
                .iter()
                .filter_map(|attribute| match attribute {
                    SetElementList::Table(name) | SetElementList::Set(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
