//! Rules and elements read attribute by attribute. The netlink crate reads them, too, but makes a text of the whole list for each
//! attribute in case it is malformed, which takes 0.1 ms a rule, and for each element as long.

use netlink_packet_core::{NlaBuffer, NlasIterator, Parseable};

use crate::expression::text;
use crate::{ElementInfo, Expression};

/// The length of the headers: those of netlink and of nfnetlink.
pub(crate) const HEADERS: usize = 20;

/// The chain, the handle and the steps of a rule, from its message.
pub(crate) fn rule(message: &[u8]) -> Option<(String, u64, Vec<Expression>)> {
    const CHAIN: u16 = 2;
    const HANDLE: u16 = 3;
    const EXPRESSIONS: u16 = 4;
    let (mut chain, mut handle, mut steps) = (None, None, Vec::new());
    for (kind, value) in attributes(message.get(HEADERS..)?) {
        match kind {
            CHAIN => chain = Some(text(value)),
            HANDLE => handle = Some(u64::from_be_bytes(value.try_into().ok()?)),
            EXPRESSIONS => steps.extend(attributes(value).map(|(_, step)| expression(step))),
            _ => {}
        }
    }
    Some((chain?, handle?, steps))
}

/// The elements of a set, from a message with some of them.
pub(crate) fn elements(message: &[u8]) -> Option<Vec<ElementInfo>> {
    const ELEMENTS: u16 = 3;
    const ELEMENT: u16 = 1;
    let lists = attributes(message.get(HEADERS..)?).filter(|(kind, _)| *kind == ELEMENTS);
    let elements = lists.flat_map(|(_, list)| attributes(list));
    elements
        .filter(|(kind, _)| *kind == ELEMENT)
        .map(|(_, element)| Some(ElementInfo::new(&all(element)?)))
        .collect()
}

fn expression(attributes_of_it: &[u8]) -> Expression {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let (mut name, mut data) = (String::new(), &[][..]);
    for (kind, value) in attributes(attributes_of_it) {
        match kind {
            NAME => name = text(value),
            DATA => data = value,
            _ => {}
        }
    }
    Expression::read(name, data)
}

/// The attributes as those of one kind of expression; none if one is malformed.
pub(crate) fn all<T>(bytes: &[u8]) -> Option<Vec<T>>
where
    for<'a> T: Parseable<NlaBuffer<&'a [u8]>>,
{
    let attributes = NlasIterator::new(bytes);
    attributes
        .map(|attribute| T::parse(&attribute.ok()?).ok())
        .collect()
}

/// The kinds and values of attributes.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const HEADER: usize = 4;
    NlasIterator::new(bytes).flatten().map(|attribute| {
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        let value = attribute.into_inner().get(HEADER..length);
        (kind, value.unwrap_or_default())
    })
}
