use std::os::fd::AsFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner,
    conntrack::ConntrackMessage,
    nftables::{
        ChainMessage, GenAttribute, GenMessage, NfTablesMessage, RuleAttribute, RuleMessage,
        SetAttribute, SetElementList, SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{RecvFlags, SendFlags, recv, send},
};

use crate::{
    Batch, ChainInfo, ElementInfo, Family, NftError, RuleInfo, SetInfo, TableInfo, TableName,
    batch::{Request, write},
    raw,
};

/// A socket to nftables in the network namespace of the thread that opened it.
///
/// The kernel works while the request is being sent, and has queued the whole answer when the call
/// returns. So no method ever waits, and async code may call all of them.
///
/// A table made with [`TableFlags::OWNER`](crate::TableFlags::OWNER) lives as long as the value.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Box<[u8]>,
    /// The bytes that may still be read, and all of them; none: any number.
    limit: Option<(usize, usize)>,
}

/// The kernel cuts its dumps into messages of at most 32 KiB.
pub(crate) const RECEIVE_BUFFER: usize = 64 * 1024;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// How often a dump is begun again because the ruleset changed while it ran.
const DUMP_ATTEMPTS: usize = 16;

impl Netlink {
    /// Opens a socket.
    ///
    /// # Errors
    ///
    /// [`NftError::Socket`]. Permission is checked only with the first request.
    pub fn open() -> Result<Self, NftError> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(NftError::socket("open"))?;
        let address = socket.bind_auto().map_err(NftError::socket("bind"))?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(NftError::socket("connect"))?;
        // An error then comes with the header of its request, not with all of it.
        socket
            .set_cap_ack(true)
            .map_err(NftError::socket("set up"))?;
        Ok(Self {
            socket,
            port: address.port_number(),
            sequence: 0,
            buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(),
            limit: None,
        })
    }

    /// Lets all answers together take at most so many bytes. Then a request fails with [`NftError::TooLarge`], and so do all
    /// later ones.
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = Some((bytes, bytes));
        self
    }

    /// The netlink port, by which the kernel names the socket as a table's owner and as the author
    /// of a change.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Carries out a batch.
    ///
    /// # Errors
    ///
    /// [`NftError::Refused`] with the first request that failed: then nothing has changed.
    pub fn execute(&mut self, batch: &Batch) -> Result<(), NftError> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.reserve(batch.len() + 2);
        let during = |error: ExchangeError| error.during(|| "the transaction".to_owned());
        self.send(&batch.serialize(first)).map_err(during)?;

        let mut done = false;
        let mut failure = None;
        self.receive(|message| {
            let NetlinkPayload::Error(error) = message.payload else {
                return;
            };
            // Zero is the mark of the beginning, which stands for the transaction.
            let index = message.header.sequence_number.wrapping_sub(first) as usize;
            match outcome(error.raw_code()) {
                Ok(()) => done |= index == batch.len(),
                Err(errno) if failure.is_none() && index <= batch.len() => {
                    failure = Some((index, errno))
                }
                Err(_) => {}
            }
        })
        .map_err(during)?;

        match failure {
            None if done => Ok(()),
            None => Err(NftError::Unexpected {
                request: "the transaction".to_owned(),
                reason: "no acknowledgement".to_owned(),
            }),
            Some((0, Errno::PERM)) => Err(NftError::NotPermitted),
            Some((index, errno)) => {
                let request = index.checked_sub(1).and_then(|index| batch.request(index));
                let request = request
                    .map_or_else(|| "commit the transaction".to_owned(), ToString::to_string);
                Err(NftError::Refused { request, errno })
            }
        }
    }

    /// The number of the ruleset's generation. Each transaction that changes something, of any program, adds one; it
    /// wraps.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn generation(&mut self) -> Result<u32, NftError> {
        let table = TableName::new(Family::Inet, "");
        let message = NfTablesMessage::GetGen(GenMessage { attributes: vec![] });
        let answer = self.query(&table, NLM_F_ACK, message, |message| match message {
            NfTablesMessage::NewGen(GenMessage { attributes }) => {
                attributes.iter().find_map(|attribute| match attribute {
                    GenAttribute::Id(id) => Some(*id),
                    _ => None,
                })
            }
            _ => None,
        })?;
        let first = answer.and_then(|numbers| numbers.into_iter().next());
        first.ok_or_else(|| NftError::Unexpected {
            request: "get the generation".to_owned(),
            reason: "no number".to_owned(),
        })
    }

    /// Looks a table up; none if it does not exist.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn table(&mut self, table: &TableName) -> Result<Option<TableInfo>, NftError> {
        let attributes = vec![TableAttribute::Name(table.name.clone())];
        let message = NfTablesMessage::GetTable(TableMessage { attributes });
        let answer = self.query(table, NLM_F_ACK, message, |message| match message {
            NfTablesMessage::NewTable(table) => Some(TableInfo::from(&table)),
            _ => None,
        })?;
        Ok(answer.and_then(|tables| tables.into_iter().next()))
    }

    /// All tables of a family.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn tables(&mut self, family: Family) -> Result<Vec<(TableName, TableInfo)>, NftError> {
        let all = TableName::new(family, "");
        let message = NfTablesMessage::GetTable(TableMessage { attributes: vec![] });
        let answer = self.query(&all, NLM_F_DUMP, message, |message| match message {
            NfTablesMessage::NewTable(table) => Some((
                TableName::new(family, table_name(&table)?),
                TableInfo::from(&table),
            )),
            _ => None,
        })?;
        Ok(answer.unwrap_or_default())
    }

    /// Looks a set up; none if it or its table does not exist.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn set(&mut self, table: &TableName, set: &str) -> Result<Option<SetInfo>, NftError> {
        let attributes = vec![
            SetAttribute::Table(table.name.clone()),
            SetAttribute::Name(set.to_owned()),
        ];
        let message = NfTablesMessage::GetSet(SetMessage { attributes });
        let answer = self.query(table, NLM_F_ACK, message, set_info)?;
        Ok(answer.and_then(|sets| sets.into_iter().next()))
    }

    /// All sets of a table; none if the table does not exist.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn sets(&mut self, table: &TableName) -> Result<Option<Vec<SetInfo>>, NftError> {
        let attributes = vec![SetAttribute::Table(table.name.clone())];
        self.query(
            table,
            NLM_F_DUMP,
            NfTablesMessage::GetSet(SetMessage { attributes }),
            set_info,
        )
    }

    /// All elements of a set; none if the set does not exist.
    ///
    /// While the kernel resizes the table of a large set, an element may be listed twice.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn elements(
        &mut self,
        table: &TableName,
        set: &str,
    ) -> Result<Option<Vec<ElementInfo>>, NftError> {
        self.elements_as(table, set, Some)
    }

    /// The elements of a set that `read` makes something of, without a list of them all in memory; none if the set does not
    /// exist.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn elements_as<T>(
        &mut self,
        table: &TableName,
        set: &str,
        read: impl Fn(ElementInfo) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NftError> {
        let attributes = vec![
            SetElementList::Table(table.name.clone()),
            SetElementList::Set(set.to_owned()),
        ];
        let message = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let answer = self.query_raw(table, NLM_F_DUMP, message, |message| {
            let elements = raw::elements(message);
            let elements = elements.ok_or_else(|| "a malformed element".to_owned())?;
            Ok(Some(
                elements.into_iter().filter_map(&read).collect::<Vec<_>>(),
            ))
        })?;
        Ok(answer.map(|parts| parts.into_iter().flatten().collect()))
    }

    /// The chains of all tables of a family.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn chains(&mut self, family: Family) -> Result<Vec<ChainInfo>, NftError> {
        // Dumps take the family from the header, and no table.
        let table = TableName::new(family, "");
        let message = NfTablesMessage::GetChain(ChainMessage { attributes: vec![] });
        let answer = self.query(&table, NLM_F_DUMP, message, |message| match message {
            NfTablesMessage::NewChain(chain) => Some(ChainInfo::new(family, &chain)),
            _ => None,
        })?;
        Ok(answer.unwrap_or_default())
    }

    /// The rules of a table, or of one of its chains, in their order; none if there is no such table.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn rules(
        &mut self,
        table: &TableName,
        chain: Option<&str>,
    ) -> Result<Option<Vec<RuleInfo>>, NftError> {
        let mut attributes = vec![RuleAttribute::Table(table.name.clone())];
        attributes.extend(chain.map(|chain| RuleAttribute::Chain(chain.to_owned())));
        let message = NfTablesMessage::GetRule(RuleMessage { attributes });
        self.query(table, NLM_F_DUMP, message, |message| match message {
            NfTablesMessage::NewRule(rule) => Some(RuleInfo::new(&rule)),
            _ => None,
        })
    }

    /// Makes the kernel forget every tracked connection of a family, and with it every translation that is in use.
    ///
    /// # Errors
    ///
    /// Any [`NftError`].
    pub fn flush_conntrack(&mut self, family: Family) -> Result<(), NftError> {
        let request = || format!("flush the tracked connections of {family}");
        let sequence = self.reserve(1);
        let header = NetfilterHeader::new(family.protocol(), 0, 0);
        let message = NetfilterMessage::new(header, ConntrackMessage::Delete(Vec::new()));
        let mut bytes = Vec::new();
        write(&mut bytes, sequence, NLM_F_REQUEST | NLM_F_ACK, message);
        match self.ask(sequence, &bytes, |_, _| Ok(())) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Errno::PERM)) => Err(NftError::NotPermitted),
            Ok(Err(errno)) => Err(NftError::Refused {
                request: request(),
                errno,
            }),
            Err(error) => Err(error.during(request)),
        }
    }

    /// Asks for something; none if there is no such thing.
    pub(crate) fn query<T>(
        &mut self,
        table: &TableName,
        flags: u16,
        message: NfTablesMessage,
        read: impl Fn(NfTablesMessage) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NftError> {
        self.query_raw(table, flags, message, |bytes| {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes);
            let message = message.map_err(|error| error.to_string())?;
            Ok(match message.payload {
                NetlinkPayload::InnerMessage(NetfilterMessage {
                    inner: NetfilterMessageInner::NfTables(inner),
                    ..
                }) => read(inner),
                _ => None,
            })
        })
    }

    /// The same, with messages as the kernel writes them.
    pub(crate) fn query_raw<T>(
        &mut self,
        table: &TableName,
        flags: u16,
        message: NfTablesMessage,
        read: impl Fn(&[u8]) -> Result<Option<T>, String>,
    ) -> Result<Option<Vec<T>>, NftError> {
        let request = Request {
            family: table.family,
            flags,
            message,
        };
        for _ in 0..DUMP_ATTEMPTS {
            let sequence = self.reserve(1);
            let mut answer = Vec::new();
            let mut interrupted = false;
            let end = self
                .ask(sequence, &request.serialize(sequence), |flags, message| {
                    interrupted |= flags & NLM_F_DUMP_INTR != 0;
                    answer.extend(read(message)?);
                    Ok(())
                })
                .map_err(|error| error.during(|| request.to_string()))?;

            match end {
                Ok(()) if interrupted => {}
                Err(Errno::INTR) => {}
                Ok(()) => return Ok(Some(answer)),
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::PERM) => return Err(NftError::NotPermitted),
                Err(errno) => {
                    return Err(NftError::Refused {
                        request: request.to_string(),
                        errno,
                    });
                }
            }
        }
        Err(NftError::Unexpected {
            request: request.to_string(),
            reason: format!("the ruleset changed during each of {DUMP_ATTEMPTS} attempts"),
        })
    }

    /// Sends one request, hands the messages of its answer to `each` with their flags, and returns how it ended.
    fn ask(
        &mut self,
        sequence: u32,
        request: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> Result<(), String>,
    ) -> Result<Result<(), Errno>, ExchangeError> {
        self.send(request)?;
        let mut end = None;
        self.receive_raw(|bytes| {
            let header = NetlinkBuffer::new_checked(bytes).map_err(|error| error.to_string())?;
            if header.sequence_number() != sequence {
                return Ok(());
            }
            match header.message_type() {
                NLMSG_ERROR | NLMSG_DONE => {
                    let code = header
                        .payload()
                        .first_chunk()
                        .copied()
                        .map(i32::from_ne_bytes);
                    end = Some(outcome(code.ok_or("an end without a code")?));
                    Ok(())
                }
                _ => each(header.flags(), bytes),
            }
        })?;
        end.ok_or_else(|| ExchangeError::Malformed("the answer has no end".to_owned()))
    }

    /// Asks another subsystem of netfilter, with its header and attributes; none if it refuses.
    pub(crate) fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Option<()> {
        const HEADER: u32 = 16;
        let sequence = self.reserve(1);
        let mut request = Vec::new();
        request.extend((HEADER + body.len() as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(sequence.to_ne_bytes());
        request.extend(0_u32.to_ne_bytes());
        request.extend(body);
        let end = self.ask(sequence, &request, |_, message| {
            each(message);
            Ok(())
        });
        end.ok()?.ok()
    }

    /// Takes `count` sequence numbers and returns the first.
    fn reserve(&mut self, count: usize) -> u32 {
        let first = self.sequence;
        // A batch of four thousand million requests does not exist.
        self.sequence = self.sequence.wrapping_add(count as u32);
        first
    }

    fn send(&self, bytes: &[u8]) -> Result<(), ExchangeError> {
        retry_on_intr(|| send(self.socket.as_fd(), bytes, SendFlags::empty()))
            .map(drop)
            .map_err(|errno| ExchangeError::Socket("write to", errno))
    }

    /// Hands every queued message to `each`. It always empties the queue, so that the next answer is
    /// not mixed with the rest of this one.
    fn receive(
        &mut self,
        mut each: impl FnMut(NetlinkMessage<NetfilterMessage>),
    ) -> Result<(), ExchangeError> {
        self.receive_raw(|bytes| {
            let message = NetlinkMessage::deserialize(bytes);
            each(message.map_err(|error| error.to_string())?);
            Ok(())
        })
    }

    fn receive_raw(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), ExchangeError> {
        let mut failure = None;
        loop {
            match recv(
                self.socket.as_fd(),
                &mut self.buffer[..],
                RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            ) {
                Err(Errno::AGAIN) => return failure.map_or(Ok(()), Err),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let error = ExchangeError::Socket("read from", errno);
                    // An overrun is reported once, and the queue goes on behind it.
                    if errno != Errno::NOBUFS {
                        return Err(error);
                    }
                    failure.get_or_insert(error);
                }
                Ok((length, full)) if full > length => {
                    let reason = format!("a message of {full} bytes");
                    failure.get_or_insert(ExchangeError::Malformed(reason));
                }
                Ok((length, _)) => {
                    if let Some((left, limit)) = &mut self.limit {
                        let Some(rest) = left.checked_sub(length) else {
                            *left = 0;
                            // The rest of the answer stays in the kernel, which makes it while it is read.
                            return Err(ExchangeError::TooLarge(*limit));
                        };
                        *left = rest;
                    }
                    for message in messages(&self.buffer[..length]) {
                        if let Err(reason) = message.and_then(&mut each) {
                            failure.get_or_insert(ExchangeError::Malformed(reason));
                        }
                    }
                }
            }
        }
    }
}

/// Reads the code that ends an answer: 0, or an error number below it.
fn outcome(code: i32) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        -4095..=-1 => Err(Errno::from_raw_os_error(-code)),
        _ => Err(Errno::IO),
    }
}

/// Why a request has no answer.
enum ExchangeError {
    /// The operation on the socket, and the reason.
    Socket(&'static str, Errno),
    Malformed(String),
    /// The limit in bytes.
    TooLarge(usize),
}

impl ExchangeError {
    fn during(self, request: impl FnOnce() -> String) -> NftError {
        match self {
            Self::Socket(operation, errno) => NftError::Socket { operation, errno },
            Self::Malformed(reason) => NftError::Unexpected {
                request: request(),
                reason,
            },
            Self::TooLarge(limit) => NftError::TooLarge { limit },
        }
    }
}

/// Cuts what one `recv` returned into messages.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], String>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let length = match NetlinkBuffer::new_checked(bytes) {
            Ok(header) => header.length() as usize,
            Err(error) => {
                bytes = &[];
                return Some(Err(error.to_string()));
            }
        };
        let (message, _) = bytes.split_at(length.min(bytes.len()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(message))
    })
}

fn table_name(message: &TableMessage) -> Option<String> {
    let mut attributes = message.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        TableAttribute::Name(name) => Some(name.clone()),
        _ => None,
    })
}

fn set_info(message: NfTablesMessage) -> Option<SetInfo> {
    match message {
        NfTablesMessage::NewSet(set) => Some(SetInfo::from(&set)),
        _ => None,
    }
}
