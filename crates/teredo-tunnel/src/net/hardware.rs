//! Whether an interface ends at hardware, or at another stack of the same machine.
//!
//! Linux leaves checksums, and the cutting of super-packets, to an interface that says it can do them. Hardware does. A
//! virtual interface, such as veth or virtio between two machines of one host, hands the packet on as it is, with a mark that
//! the stack at the other end understands and a tunnel's user space does not see.

use std::io::{self, ErrorKind};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The buses of devices that another machine or the hypervisor only plays.
const PLAYED: [&str; 3] = ["virtio", "xen", "vmbus"];

/// How many interfaces may lie on top of each other, as a VLAN on a bond. Linux allows eight (`MAX_NEST_DEV`).
const DEEPEST: u8 = 8;

/// The most links that a bond or a bridge may have; of one with more, it is not looked for hardware.
const MAX_MEMBERS: usize = 1024;

/// The kernel's messages about links come in pieces of at most this length.
const LONGEST_MESSAGE: usize = 32_768;

/// Whether this interface may hand on packets that lack what hardware would fill in: a checksum, or the cut into segments.
///
/// It is physical if there is a device behind it that is not virtio's, Xen's or Hyper-V's. A VLAN is as its interface, and a
/// bond, a team or a bridge is physical if all its members are. Everything else is virtual: veth, the loopback, macvlan, whose
/// siblings get packets as they are, and tunnels.
///
/// # Errors
///
/// There is no such interface, or the kernel does not say. Then the interface counts as virtual: that is slower, and never
/// wrong.
pub fn is_virtual(name: &str) -> io::Result<bool> {
    let mut links = Links::open()?;
    let mut named = LinkMessage::default();
    named.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let link = links.one(named)?;
    let physical = is_physical(&link, &mut |below| links.below(below), DEEPEST)?;
    Ok(!physical)
}

/// Interfaces that another one consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Below {
    /// The one with this index.
    Index(u32),
    /// The members of the one with this index.
    Members(u32),
}

fn is_physical(
    link: &LinkMessage,
    ask: &mut dyn FnMut(Below) -> io::Result<Vec<LinkMessage>>,
    depth: u8,
) -> io::Result<bool> {
    let bus = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::ParentDevBusName(bus) => Some(bus.as_str()),
            _ => None,
        });
    if let Some(bus) = bus {
        return Ok(!PLAYED.contains(&bus));
    }
    let (Some(below), Some(depth)) = (below(link), depth.checked_sub(1)) else {
        return Ok(false);
    };
    let parts = ask(below)?;
    for part in &parts {
        if !is_physical(part, ask, depth)? {
            return Ok(false);
        }
    }
    Ok(!parts.is_empty())
}

/// The interfaces that this one consists of, if their kind says everything about its own.
fn below(link: &LinkMessage) -> Option<Below> {
    let infos = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => Some(infos),
            _ => None,
        })?;
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })?;
    match kind {
        InfoKind::Bond | InfoKind::Team | InfoKind::Bridge => {
            Some(Below::Members(link.header.index))
        }
        InfoKind::Vlan => {
            let elsewhere =
                |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::LinkNetNsId(_));
            if link.attributes.iter().any(elsewhere) {
                return None;
            }
            link.attributes
                .iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::Link(index) => Some(Below::Index(*index)),
                    _ => None,
                })
        }
        _ => None,
    }
}

/// Asks the kernel for links. It answers while it is asked, so nothing waits.
struct Links(Socket);

impl Links {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    fn below(&mut self, below: Below) -> io::Result<Vec<LinkMessage>> {
        let mut question = LinkMessage::default();
        match below {
            Below::Index(index) => {
                question.header.index = index;
                Ok(vec![self.one(question)?])
            }
            Below::Members(index) => {
                question.attributes = vec![LinkAttribute::Controller(index)];
                self.ask(question, NLM_F_DUMP)
            }
        }
    }

    fn one(&mut self, question: LinkMessage) -> io::Result<LinkMessage> {
        let link = self.ask(question, 0)?.pop();
        link.ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// The links that the kernel answers with: one, or those of a dump.
    fn ask(&mut self, question: LinkMessage, flags: u16) -> io::Result<Vec<LinkMessage>> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        let mut links = Vec::new();
        let mut answer = Vec::with_capacity(LONGEST_MESSAGE);
        loop {
            answer.clear();
            self.0.recv(&mut answer, libc::MSG_DONTWAIT)?;
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
                match message.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                        links.push(link);
                    }
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Done(_) => return Ok(links),
                    _ => {}
                }
                if links.len() > MAX_MEMBERS {
                    return Err(io::Error::other("an interface has too many members"));
                }
                let len = (message.header.length as usize).next_multiple_of(4);
                rest = rest.get(len..).unwrap_or_default();
            }
            if flags & NLM_F_DUMP == 0 {
                return Ok(links);
            }
        }
    }
}

#[cfg(test)]
mod tests;
