//! A router with faults: PCP, NAT-PMP and UPnP on an address of loopback, and an owner that asks it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use teredo_gateway::{Gateway, Mapping, MappingStore, Protocol, State, Timeouts, Wanted};

pub(crate) const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Longer than any answer takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

const TIMEOUTS: Timeouts = Timeouts {
    datagram: Duration::from_millis(50),
    search: Duration::from_millis(500),
    request: Duration::from_millis(500),
    task: Duration::from_secs(2),
    end: Duration::from_millis(800),
};

/// An address of loopback that no other test uses.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    // A process of its own may run other tests at the same time.
    let process = (std::process::id() % 250) as u8 + 1;
    Ipv4Addr::new(127, 77, process, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The file of the mapping, and a copy for the test.
#[derive(Clone, Default)]
pub(crate) struct Store(pub(crate) Arc<Mutex<Option<Mapping>>>);

impl MappingStore for Store {
    fn load(&mut self) -> Option<Mapping> {
        *self.0.lock().unwrap()
    }

    fn save(&mut self, mapping: &Mapping) {
        *self.0.lock().unwrap() = Some(*mapping);
    }

    fn clear(&mut self) {
        *self.0.lock().unwrap() = None;
    }
}

/// The client of a process that was killed: it had asked this router for port 39,999.
pub(crate) fn left_behind(gateway: Ipv4Addr) -> Store {
    let local = SocketAddrV4::new(*LOCAL.ip(), 39_999);
    let mapping = Mapping::intended(Wanted { gateway, local }, Protocol::Upnp);
    Store(Arc::new(Mutex::new(Some(mapping))))
}

/// The owner of a mapping.
pub(crate) struct Owner {
    pub(crate) gateway: Gateway,
    pub(crate) store: Store,
    states: Receiver<State>,
}

impl Owner {
    pub(crate) fn start(store: Store) -> Self {
        Self::with(TIMEOUTS, store)
    }

    /// One that gives the router no time at its end.
    pub(crate) fn without_patience_at_the_end() -> Self {
        let timeouts = Timeouts {
            request: DEADLINE,
            task: DEADLINE,
            end: Duration::ZERO,
            ..TIMEOUTS
        };
        Self::with(timeouts, Store::default())
    }

    fn with(timeouts: Timeouts, store: Store) -> Self {
        let (sender, states) = channel();
        let report = move |state| drop(sender.send(state));
        Self {
            gateway: Gateway::start(timeouts, Box::new(store.clone()), report).unwrap(),
            store,
            states,
        }
    }

    /// Asks this router for the usual port.
    pub(crate) fn asking(gateway: Ipv4Addr) -> Self {
        let owner = Self::start(Store::default());
        owner.want(gateway);
        owner
    }

    pub(crate) fn want(&self, gateway: Ipv4Addr) {
        let local = LOCAL;
        self.gateway.want(Some(Wanted { gateway, local }));
    }

    /// The next state that is an answer.
    pub(crate) fn answer(&self) -> State {
        loop {
            let state = self.states.recv_timeout(DEADLINE);
            match state.expect("an answer within the deadline") {
                State::Asking | State::Idle => {}
                answer => return answer,
            }
        }
    }

    pub(crate) fn mapping(&self) -> Mapping {
        match self.answer() {
            State::Mapped(mapping) => mapping,
            other => panic!("{other:?}"),
        }
    }

    /// Ends the thread in order. Returns the states that were not taken before.
    pub(crate) fn end(self) -> Vec<State> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(self.gateway.end());
        self.states.try_iter().collect()
    }
}

/// A deviation from UPnP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It accepts connections, and says nothing.
    Hangs,
    /// The answer to a request is endless.
    Endless,
    /// The description is no XML.
    NoXml,
    /// It confirms each mapping, and makes it for another host.
    OtherHost,
    /// It confirms each mapping, and makes none.
    NotListed,
    /// Its external address is this host's loopback.
    Incredible,
    /// It knows no lifetimes.
    Permanent,
    /// It has no external address.
    NoAddress,
    /// It shows no list of its mappings.
    NoList,
    /// It shows no list, and gives a host the port of another one.
    Overwrites,
    /// It makes each mapping, and hangs instead of confirming it.
    HangsAfterAdding,
    /// It does so, and knows no lifetimes.
    PermanentHangs,
}

/// A router with UPnP.
pub(crate) struct Igd {
    pub(crate) address: Ipv4Addr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    fault: Fault,
    /// Gets a message for each request that was given up while the router hung.
    given_up: Option<Sender<()>>,
    /// The requests that wait for an answer in vain.
    hanging: usize,
    /// The inner end of each external port.
    mappings: BTreeMap<u16, (String, u16)>,
    log: Vec<String>,
}

impl Igd {
    /// Listens until the test process ends.
    pub(crate) fn start(fault: Fault) -> Self {
        let (igd, place) = Self::without_search(fault, address());
        let search = UdpSocket::bind((igd.address, 1900)).unwrap();
        thread::spawn(move || answer_searches(&search, place));
        igd
    }

    /// It answers no search itself. Returns the place of its description, too.
    fn without_search(fault: Fault, address: Ipv4Addr) -> (Self, SocketAddr) {
        let requests = TcpListener::bind((address, 0)).unwrap();
        let place = requests.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            fault,
            given_up: None,
            hanging: 0,
            mappings: BTreeMap::new(),
            log: Vec::new(),
        }));
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in requests.incoming().flatten() {
                let shared = Arc::clone(&served);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        (Self { address, shared }, place)
    }

    /// Devices of a link, which answer a search by multicast alone, in this order.
    pub(crate) fn on_a_link<const COUNT: usize>(addresses: [Ipv4Addr; COUNT]) -> [Self; COUNT] {
        const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
        let all = addresses.map(|address| Self::without_search(Fault::None, address));
        let voices = all.each_ref().map(|(igd, place)| {
            let voice = UdpSocket::bind((igd.address, 0)).unwrap();
            (voice, answer_to_search(*place))
        });
        let search = UdpSocket::bind((SSDP_GROUP, 1900)).unwrap();
        search
            .join_multicast_v4(&SSDP_GROUP, &addresses[0])
            .unwrap();
        thread::spawn(move || {
            while let Ok((_, from)) = search.recv_from(&mut [0; 2048]) {
                for (voice, answer) in &voices {
                    // The owner may have gone.
                    let _ = voice.send_to(answer.as_bytes(), from);
                }
            }
        });
        all.map(|(igd, _)| igd)
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.shared.lock().unwrap().fault = fault;
    }

    /// The router hangs from now on. Each request that is given up sends a message.
    pub(crate) fn hang(&self) -> Receiver<()> {
        let (sender, given_up) = channel();
        let mut shared = self.shared.lock().unwrap();
        (shared.fault, shared.given_up) = (Fault::Hangs, Some(sender));
        given_up
    }

    /// The requests that wait for an answer in vain.
    pub(crate) fn hanging(&self) -> usize {
        self.shared.lock().unwrap().hanging
    }

    /// The actions so far, each with its arguments.
    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.lock().unwrap().log.clone()
    }

    /// The names of the actions that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let log = self.log();
        let names = log
            .iter()
            .map(|line| line.split(' ').next().unwrap_or_default());
        let names = names.filter(|name| name.starts_with("Add") || name.starts_with("Delete"));
        names.map(str::to_owned).collect()
    }

    pub(crate) fn mappings(&self) -> Vec<(u16, (String, u16))> {
        let shared = self.shared.lock().unwrap();
        shared.mappings.clone().into_iter().collect()
    }

    pub(crate) fn give_to(&self, port: u16, host: &str) {
        let mut shared = self.shared.lock().unwrap();
        shared.mappings.insert(port, (host.to_owned(), port));
    }
}

fn answer_searches(socket: &UdpSocket, place: SocketAddr) {
    let mut buffer = [0; 2048];
    while let Ok((_, from)) = socket.recv_from(&mut buffer) {
        // The owner may have gone.
        let _ = socket.send_to(answer_to_search(place).as_bytes(), from);
    }
}

fn answer_to_search(place: SocketAddr) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{place}/desc\r\n\r\n"
    )
}

fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) {
    let Some((head, body)) = request(&mut stream) else {
        return;
    };
    let fault = shared.lock().unwrap().fault;
    let (status, answer) = match (fault, head.starts_with("GET")) {
        (Fault::Hangs, _) => {
            shared.lock().unwrap().hanging += 1;
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            let mut shared = shared.lock().unwrap();
            shared.hanging -= 1;
            if let Some(given_up) = &shared.given_up {
                let _ = given_up.send(());
            }
            return;
        }
        (Fault::Endless, false) => {
            let head = "HTTP/1.1 200 OK\r\n\r\n";
            let chunk = [b'<'; 65536];
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(&chunk).is_ok() {}
            return;
        }
        (Fault::NoXml, true) => (200, "<root><device>".to_owned()),
        (_, true) if head.starts_with("GET /desc") => (200, DESCRIPTION.to_owned()),
        (_, true) => (200, schema()),
        (_, false) => act(&body, shared),
    };
    let hangs = matches!(fault, Fault::HangsAfterAdding | Fault::PermanentHangs);
    if hangs && status == 200 && body.contains("AddPortMapping") {
        // Until the other side gives up.
        let _ = stream.read(&mut [0]);
        return;
    }
    let text = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    let _ = stream.write_all(text.as_bytes());
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// One action, with the answer's status.
fn act(body: &str, shared: &Mutex<Shared>) -> (u16, String) {
    let mut shared = shared.lock().unwrap();
    let fault = shared.fault;
    let argument = |name: &str| {
        let start = body.find(&format!("<{name}>"))? + name.len() + 2;
        let end = start + body[start..].find('<')?;
        Some(body[start..end].to_owned())
    };
    let Some(action) = ACTIONS
        .iter()
        .find(|(name, _)| body.contains(&format!(":{name} ")))
    else {
        return failed(401);
    };
    let (name, inputs) = action;
    let given: Vec<_> = inputs
        .iter()
        .map(|name| {
            format!(
                "{name}={}",
                argument(name).unwrap_or_else(|| "-".to_owned())
            )
        })
        .collect();
    shared.log.push(format!("{name} {}", given.join(" ")));
    let port = argument("NewExternalPort").and_then(|port| port.parse().ok());
    let port = port.unwrap_or(0);
    match *name {
        "AddPortMapping" => {
            let client = argument("NewInternalClient").unwrap_or_default();
            let inner = argument("NewInternalPort").and_then(|port| port.parse().ok());
            let is_permanent = matches!(fault, Fault::Permanent | Fault::PermanentHangs);
            if is_permanent && argument("NewLeaseDuration").as_deref() != Some("0") {
                return failed(725);
            }
            let before = shared.mappings.get(&port);
            let is_taken = before.is_some_and(|(host, _)| *host != client);
            if is_taken && fault != Fault::Overwrites {
                return failed(718);
            }
            let client = match fault {
                Fault::OtherHost => "127.0.0.99".to_owned(),
                _ => client,
            };
            if fault != Fault::NotListed {
                shared.mappings.insert(port, (client, inner.unwrap_or(0)));
            }
            succeeded(name, "")
        }
        "DeletePortMapping" => match shared.mappings.remove(&port) {
            Some(_) => succeeded(name, ""),
            None => failed(714),
        },
        "GetGenericPortMappingEntry" if matches!(fault, Fault::NoList | Fault::Overwrites) => {
            failed(606)
        }
        "GetGenericPortMappingEntry" => {
            let index = argument("NewPortMappingIndex").and_then(|index| index.parse().ok());
            let entry = shared.mappings.iter().nth(index.unwrap_or(usize::MAX));
            let Some((port, (client, inner))) = entry else {
                return failed(713);
            };
            let entry = format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort><NewProtocol>UDP</NewProtocol>\
                 <NewInternalPort>{inner}</NewInternalPort><NewInternalClient>{client}</NewInternalClient>\
                 <NewEnabled>1</NewEnabled><NewPortMappingDescription>TEREDO</NewPortMappingDescription>\
                 <NewLeaseDuration>1200</NewLeaseDuration>"
            );
            succeeded(name, &entry)
        }
        _ if fault == Fault::NoAddress => failed(501),
        _ => {
            let address = match fault {
                Fault::Incredible => Ipv4Addr::LOCALHOST,
                _ => OUTSIDE,
            };
            let answer = format!("<NewExternalIPAddress>{address}</NewExternalIPAddress>");
            succeeded(name, &answer)
        }
    }
}

fn succeeded(action: &str, inner: &str) -> (u16, String) {
    let text = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:{action}Response \
         xmlns:u=\"{SERVICE}\">{inner}</u:{action}Response></s:Body></s:Envelope>"
    );
    (200, text)
}

fn failed(code: u16) -> (u16, String) {
    let text = format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><detail><UPnPError>\
         <errorCode>{code}</errorCode><errorDescription>no</errorDescription></UPnPError></detail></s:Fault></s:Body>\
         </s:Envelope>"
    );
    (500, text)
}

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

const DESCRIPTION: &str = "<root><device><serviceList><service>\
    <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
    <controlURL>/control</controlURL><SCPDURL>/schema</SCPDURL></service></serviceList></device></root>";

/// The arguments in the order of RFC 6081 §5.3.3.
const ACTIONS: [(&str, &[&str]); 4] = [
    (
        "AddPortMapping",
        &[
            "NewRemoteHost",
            "NewExternalPort",
            "NewProtocol",
            "NewInternalPort",
            "NewInternalClient",
            "NewEnabled",
            "NewPortMappingDescription",
            "NewLeaseDuration",
        ],
    ),
    (
        "DeletePortMapping",
        &["NewRemoteHost", "NewExternalPort", "NewProtocol"],
    ),
    ("GetGenericPortMappingEntry", &["NewPortMappingIndex"]),
    ("GetExternalIPAddress", &[]),
];

fn schema() -> String {
    let mut actions = String::new();
    for (name, inputs) in ACTIONS {
        let argument =
            |name| format!("<argument><name>{name}</name><direction>in</direction></argument>");
        let inputs: String = inputs.iter().map(argument).collect();
        actions +=
            &format!("<action><name>{name}</name><argumentList>{inputs}</argumentList></action>");
    }
    format!("<scpd><actionList>{actions}</actionList></scpd>")
}
