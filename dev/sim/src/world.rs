//! The internet: its networks, and the passage of time.

mod border;
mod directory;
mod evidence;
mod icmp;
mod observer;
#[cfg(test)]
mod tests;
mod transit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

use teredo::client::{LocalSubnet, Resumption};
use teredo::{ClientConfig, Instant, Relay, RelayConfig, ServerAddress, ServerConfig, Submission};

use self::directory::{Attachments, Directory, Owner};
pub use self::evidence::Evidence;
use self::evidence::Witness;
pub use self::observer::Observer;
use crate::capture::{Capture, RecordNumber};
use crate::datagram::Datagram;
use crate::host::{
    Action, Arrival, ClientHost, ClientId, HostId, KEPT, Outbox, PortFirewall, RawHost, RawId,
    RelayHost, RelayId, ServerHost, ServerId,
};
use crate::icmp::IcmpError;
use crate::link::{Link, LinkQuality};
use crate::nat::{Nat, NatBehaviour};
use crate::random::{Stream, machine_seed};
use crate::schedule::Schedule;

/// The network of a host or a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// The public Internet.
    Internet,
    /// The network behind a NAT.
    Behind(NatId),
}

/// The identifier of a [`Nat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NatId(usize);

impl From<NatId> for Network {
    fn from(nat: NatId) -> Self {
        Self::Behind(nat)
    }
}

/// The delay of a host on the Internet and of the outside of a NAT, one way.
const WAN_DELAY: Duration = Duration::from_millis(10);
/// The delay of a host behind a NAT, one way.
const LAN_DELAY: Duration = Duration::from_micros(500);
/// The delay of a native IPv6 packet.
const NATIVE_DELAY: Duration = Duration::from_millis(10);

/// The address of a NAT inside, unless [`World::set_gateway`] sets another. No host can reach it.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);

/// The attachment of a host.
#[derive(Debug)]
struct Attachment {
    network: Network,
    link: Link,
}

/// The attachment of a NAT.
#[derive(Debug)]
struct Router {
    nat: Nat,
    outside: Network,
    link: Link,
    /// Its address inside.
    gateway: Ipv4Addr,
}

/// A datagram on its way, with its addresses behind the last NAT.
#[derive(Clone, Debug)]
struct Parcel {
    record: RecordNumber,
    datagram: Datagram,
}

/// An event. Large contents are in boxes, because the schedule moves events.
#[derive(Debug)]
enum Event {
    /// A state machine's deadline has come.
    Alarm(HostId, u64),
    /// A raw host sends a delayed datagram.
    Emit(HostId, Box<Datagram>),
    /// A datagram is routed in a network.
    Route(Network, Box<Parcel>),
    /// A datagram is at the outside of a NAT.
    Inbound(NatId, Box<Parcel>),
    /// A datagram is at its destination.
    Arrive(HostId, Box<Parcel>),
    /// An ICMP error is routed to the source of the datagram that it is about.
    Error(Network, Box<IcmpError>),
    /// An ICMP error is at the outside of a NAT.
    ErrorInbound(NatId, Box<IcmpError>),
    /// An ICMP error is at its destination.
    ErrorArrives(HostId, Box<IcmpError>),
    /// A packet is in the native IPv6 Internet.
    Native(Vec<u8>),
}

/// A rule that selects datagrams to drop.
type Rule = Box<dyn FnMut(&Datagram) -> bool>;

/// A deterministic internet: the same seed and the same calls give the same datagrams at the same times.
///
/// Time passes only in [`Self::run_for`], [`Self::run_until`] and [`Self::step`].
///
/// ```
/// use std::time::Duration;
/// use teredo::client::State;
/// use teredo::ServerAddress;
/// use teredo_sim::{NatBehaviour, World};
///
/// let mut world = World::new(1);
/// let server = ServerAddress::adjacent([192, 0, 2, 1].into());
/// world.add_server(server);
/// let nat = world.add_nat(NatBehaviour::port_restricted(), [203, 0, 113, 1]);
/// let client = world.add_client(nat, "10.0.0.2:40000".parse()?, &[server]);
///
/// let qualified = world.run_until(Duration::from_secs(1), |world| {
///     world.client(client).client().status().state == State::Qualified
/// });
/// assert!(qualified, "{}", world.capture());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Panics
///
/// Methods that take an identifier panic if it comes from another world and is unknown here. Methods that attach
/// something panic if its address is taken in that network.
pub struct World {
    seed: u64,
    streams: u64,
    now: Instant,
    schedule: Schedule<Event>,
    clients: Vec<ClientHost>,
    servers: Vec<ServerHost>,
    relays: Vec<RelayHost>,
    raw: Vec<RawHost>,
    attachments: Attachments,
    routers: Vec<Router>,
    directory: Directory,
    native: BTreeMap<Ipv6Addr, RawId>,
    /// The relays near native hosts.
    relay_of: BTreeMap<Ipv6Addr, RelayId>,
    /// The border, if there is one.
    default_route: Option<RawId>,
    silent: BTreeSet<Ipv4Addr>,
    /// Whether routers and hosts send no ICMP errors.
    mute: bool,
    rule: Rule,
    /// How many values of each kind a host keeps of its output.
    kept: u32,
    capture: Capture,
    witness: Option<Witness>,
    observer: Option<Box<dyn Observer>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Building.
impl World {
    /// An empty Internet at time zero.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            streams: 0,
            now: Instant::default(),
            schedule: Schedule::default(),
            clients: Vec::new(),
            servers: Vec::new(),
            relays: Vec::new(),
            raw: Vec::new(),
            attachments: Attachments::default(),
            routers: Vec::new(),
            directory: Directory::default(),
            native: BTreeMap::new(),
            relay_of: BTreeMap::new(),
            default_route: None,
            silent: BTreeSet::new(),
            mute: false,
            rule: Box::new(|_| false),
            kept: KEPT,
            capture: Capture::default(),
            witness: None,
            observer: None,
        }
    }

    /// Attaches a NAT to the Internet.
    pub fn add_nat(&mut self, behaviour: NatBehaviour, external: impl Into<Ipv4Addr>) -> NatId {
        self.add_nat_in(Network::Internet, behaviour, external)
    }

    /// Attaches a NAT to any network, for one NAT behind another.
    pub fn add_nat_in(
        &mut self,
        outside: impl Into<Network>,
        behaviour: NatBehaviour,
        external: impl Into<Ipv4Addr>,
    ) -> NatId {
        let (outside, external) = (outside.into(), external.into());
        let nat = Nat::with_stream(behaviour, external, self.stream());
        self.add_router(outside, nat)
    }

    /// Attaches a NAT with these external addresses, whose number counts instead of [`NatBehaviour::addresses`].
    ///
    /// # Panics
    ///
    /// If there are no addresses.
    pub fn add_nat_pool(
        &mut self,
        outside: impl Into<Network>,
        behaviour: NatBehaviour,
        externals: &[Ipv4Addr],
    ) -> NatId {
        let [external, others @ ..] = externals else {
            panic!("a NAT has an external address");
        };
        let mut nat = Nat::with_stream(behaviour, *external, self.stream());
        nat.set_pool(others);
        self.add_router(outside.into(), nat)
    }

    fn add_router(&mut self, outside: Network, nat: Nat) -> NatId {
        let id = NatId(self.routers.len());
        let link = Link::new(LinkQuality::with_delay(WAN_DELAY), self.stream());
        for external in nat.externals() {
            self.register(outside, external, Owner::Nat(id));
        }
        self.routers.push(Router {
            nat,
            outside,
            link,
            gateway: GATEWAY,
        });
        id
    }

    /// Attaches a client with the settings of the RFCs and starts it.
    pub fn add_client(
        &mut self,
        network: impl Into<Network>,
        local: SocketAddrV4,
        servers: &[ServerAddress],
    ) -> ClientId {
        let client = self.add_idle_client(network, local, ClientConfig::default());
        self.start(client, servers);
        client
    }

    /// Attaches a client without starting it.
    pub fn add_idle_client(
        &mut self,
        network: impl Into<Network>,
        local: SocketAddrV4,
        config: ClientConfig,
    ) -> ClientId {
        let seed = self.machine_seed();
        let id = ClientId(self.clients.len());
        self.clients
            .push(ClientHost::new(config, seed, self.now, local, self.kept));
        self.attach(id.into(), network.into(), &[*local.ip()]);
        id
    }

    /// Attaches a server with the settings of the RFCs to the Internet.
    pub fn add_server(&mut self, address: ServerAddress) -> ServerId {
        self.add_server_with(address, ServerConfig::new(address))
    }

    /// Attaches a server with other settings to the Internet. `config` must have the same addresses.
    pub fn add_server_with(&mut self, address: ServerAddress, config: ServerConfig) -> ServerId {
        let seed = self.machine_seed();
        let id = ServerId(self.servers.len());
        self.servers.push(ServerHost::new(config, seed, self.kept));
        self.attach(
            id.into(),
            Network::Internet,
            &[address.primary, address.secondary],
        );
        id
    }

    /// Attaches a relay. The last relay gets the packets of the native IPv6 Internet for Teredo clients.
    pub fn add_relay(
        &mut self,
        network: impl Into<Network>,
        local: SocketAddrV4,
        config: RelayConfig,
    ) -> RelayId {
        let seed = self.machine_seed();
        let id = RelayId(self.relays.len());
        self.relays
            .push(RelayHost::new(config, seed, local, self.kept));
        self.attach(id.into(), network.into(), &[*local.ip()]);
        id
    }

    /// Attaches a host that sends nothing by itself.
    pub fn add_raw(&mut self, network: impl Into<Network>, addresses: &[Ipv4Addr]) -> RawId {
        self.add_responder(network, addresses, |_, _| {})
    }

    /// Attaches a host that answers with the closure.
    pub fn add_responder(
        &mut self,
        network: impl Into<Network>,
        addresses: &[Ipv4Addr],
        behaviour: impl FnMut(Arrival<'_>, &mut Outbox) + 'static,
    ) -> RawId {
        let id = RawId(self.raw.len());
        self.raw.push(RawHost::new(Box::new(behaviour), self.kept));
        self.attach(id.into(), network.into(), addresses);
        id
    }

    /// Gives a raw host an address in the native IPv6 Internet.
    pub fn attach_native(&mut self, host: RawId, address: Ipv6Addr) {
        self.native.insert(address, host);
    }

    fn attach(&mut self, host: HostId, network: Network, addresses: &[Ipv4Addr]) {
        let delay = if network == Network::Internet {
            WAN_DELAY
        } else {
            LAN_DELAY
        };
        let link = Link::new(LinkQuality::with_delay(delay), self.stream());
        self.attachments.insert(host, Attachment { network, link });
        for &address in addresses {
            self.register(network, address, Owner::Host(host));
            for (outside, router) in self.announcements(network) {
                self.register(outside, address, Owner::Nat(router));
            }
        }
    }

    /// The networks that see the addresses of `network` unchanged, with the router to them: those outside of a router
    /// that does not translate.
    fn announcements(&self, mut network: Network) -> Vec<(Network, NatId)> {
        let mut seen = Vec::new();
        while let Network::Behind(id) = network
            && !self.nat(id).behaviour().translates
        {
            network = self.routers[id.0].outside;
            seen.push((network, id));
        }
        seen
    }

    fn register(&mut self, network: Network, address: Ipv4Addr, owner: Owner) {
        self.directory.register(network, address, owner);
    }

    fn machine_seed(&mut self) -> [u8; 32] {
        self.streams += 1;
        machine_seed(self.seed, self.streams)
    }

    fn stream(&mut self) -> Stream {
        self.streams += 1;
        Stream::new(self.seed, self.streams)
    }
}

/// Looking.
impl World {
    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Every datagram so far.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Every datagram so far, to limit or to clear.
    pub fn capture_mut(&mut self) -> &mut Capture {
        &mut self.capture
    }

    /// A client.
    pub fn client(&self, id: ClientId) -> &ClientHost {
        &self.clients[id.0]
    }

    /// The clients, in order of attachment.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len()).map(ClientId)
    }

    /// The network of a host.
    pub fn network_of(&self, host: impl Into<HostId>) -> Network {
        self.attachment(host.into()).network
    }

    fn attachment(&self, host: HostId) -> &Attachment {
        match self.attachments.get(host) {
            Some(attachment) => attachment,
            None => panic!("{host} is not of this world"),
        }
    }

    /// A server.
    pub fn server(&self, id: ServerId) -> &ServerHost {
        &self.servers[id.0]
    }

    /// A relay.
    pub fn relay(&self, id: RelayId) -> &RelayHost {
        &self.relays[id.0]
    }

    /// A raw host.
    pub fn raw(&self, id: RawId) -> &RawHost {
        &self.raw[id.0]
    }

    /// A NAT.
    pub fn nat(&self, id: NatId) -> &Nat {
        &self.routers[id.0].nat
    }
}

/// Turning knobs.
impl World {
    /// A NAT, to change its behaviour or its mappings.
    pub fn nat_mut(&mut self, id: NatId) -> &mut Nat {
        &mut self.routers[id.0].nat
    }

    /// Changes the external address of a NAT, which loses its mappings. It then has as many addresses as
    /// [`NatBehaviour::addresses`] says.
    pub fn renumber_nat(&mut self, id: NatId, external: impl Into<Ipv4Addr>) {
        let router = &mut self.routers[id.0];
        let outside = router.outside;
        let earlier: Vec<Ipv4Addr> = router.nat.externals().collect();
        router.nat.renumber(external.into());
        let later: Vec<Ipv4Addr> = router.nat.externals().collect();
        for address in earlier {
            self.directory.remove(outside, address);
        }
        for address in later {
            self.register(outside, address, Owner::Nat(id));
        }
    }

    /// Gives a NAT an address inside, as which it sends ICMP errors. Initially it is 192.168.0.1, at which no host can
    /// reach it.
    pub fn set_gateway(&mut self, id: NatId, gateway: impl Into<Ipv4Addr>) {
        let gateway = gateway.into();
        let router = &mut self.routers[id.0];
        let earlier = router.gateway;
        router.gateway = gateway;
        if let Some(Owner::Gateway) = self.directory.get(id.into(), earlier) {
            self.directory.remove(id.into(), earlier);
        }
        self.register(id.into(), gateway, Owner::Gateway);
    }

    /// The address of a NAT inside.
    pub fn gateway(&self, id: NatId) -> Ipv4Addr {
        self.routers[id.0].gateway
    }

    /// The link of a host.
    pub fn link_mut(&mut self, host: impl Into<HostId>) -> &mut LinkQuality {
        let host = host.into();
        match self.attachments.get_mut(host) {
            Some(attachment) => &mut attachment.link.quality,
            None => panic!("{host} is not of this world"),
        }
    }

    /// The outside link of a NAT.
    pub fn nat_link_mut(&mut self, id: NatId) -> &mut LinkQuality {
        &mut self.routers[id.0].link.quality
    }

    /// Lets every host keep at most about this many of its latest packets, errors and events; 0 for none. Initially it
    /// is a million. They are what a test looks at, and a large world has no room for them.
    pub fn keep_output(&mut self, limit: u32) {
        self.kept = limit;
        self.clients.iter_mut().for_each(|host| host.keep(limit));
        self.servers.iter_mut().for_each(|host| host.keep(limit));
        self.relays.iter_mut().for_each(|host| host.keep(limit));
        self.raw.iter_mut().for_each(|host| host.keep(limit));
    }

    /// Makes an IPv4 address a black hole, or undoes that. Datagrams to it vanish without an error.
    pub fn set_silent(&mut self, address: Ipv4Addr, silent: bool) {
        if silent {
            self.silent.insert(address);
        } else {
            self.silent.remove(&address);
        }
    }

    /// Makes all routers and hosts stop sending ICMP errors, or undoes that.
    pub fn set_mute(&mut self, mute: bool) {
        self.mute = mute;
    }

    /// Drops every datagram for which `rule` is true. The rule is asked when a datagram is sent, and replaces the
    /// previous one.
    pub fn interfere(&mut self, rule: impl FnMut(&Datagram) -> bool + 'static) {
        self.rule = Box::new(rule);
    }

    /// Lets the observer see what happens from now on, instead of the previous one.
    pub fn set_observer(&mut self, observer: impl Observer + 'static) {
        self.observer = Some(Box::new(observer));
    }
}

/// Acting.
impl World {
    /// Starts or restarts a client.
    pub fn start(&mut self, id: ClientId, servers: &[ServerAddress]) {
        let actions = self.clients[id.0].start(self.now, servers);
        self.act(id.into(), actions);
    }

    /// Kills a client, and starts another one on the same port that goes on with what the first one had.
    pub fn resume(
        &mut self,
        id: ClientId,
        config: ClientConfig,
        servers: &[ServerAddress],
        earlier: Resumption,
    ) {
        let seed = self.machine_seed();
        let actions = self.clients[id.0].restart(config, seed, self.now, servers, earlier);
        self.act(id.into(), actions);
    }

    /// Stops a client.
    pub fn stop(&mut self, id: ClientId) {
        let actions = self.clients[id.0].stop(self.now);
        self.act(id.into(), actions);
    }

    /// Stops a client because its host has native IPv6.
    pub fn sleep(&mut self, id: ClientId, native: Ipv6Addr) {
        let actions = self.clients[id.0].sleep(self.now, native);
        self.act(id.into(), actions);
    }

    /// Makes a client's host join or leave the multicast group of local discovery. All hosts of its network share the
    /// link.
    pub fn set_local_subnet(&mut self, id: ClientId, subnet: Option<LocalSubnet>) {
        let actions = self.clients[id.0].set_local_subnet(self.now, subnet);
        self.act(id.into(), actions);
    }

    /// Tells a client the subnets that its host is attached to.
    pub fn set_links(&mut self, id: ClientId, subnets: Vec<LocalSubnet>) {
        let actions = self.clients[id.0].set_links(self.now, subnets);
        self.act(id.into(), actions);
    }

    /// Changes the servers of a client.
    pub fn set_servers(&mut self, id: ClientId, servers: &[ServerAddress]) {
        let actions = self.clients[id.0].set_servers(self.now, servers);
        self.act(id.into(), actions);
    }

    /// Moves a client to another network, address or port, and notifies it.
    pub fn rebind(&mut self, id: ClientId, network: impl Into<Network>, local: SocketAddrV4) {
        let (host, network) = (id.into(), network.into());
        let earlier = self.attachment(host).network;
        let address = *self.clients[id.0].local().ip();
        self.directory.remove(earlier, address);
        for (outside, _) in self.announcements(earlier) {
            self.directory.remove(outside, address);
        }
        self.attach(host, network, &[*local.ip()]);
        let actions = self.clients[id.0].rebind(self.now, local);
        self.act(host, actions);
    }

    /// Changes how a client's host answers requests for random ports (RFC 6081 §5.4). Initially it opens them at once.
    pub fn set_port_firewall(&mut self, id: ClientId, firewall: PortFirewall) {
        self.clients[id.0].set_port_firewall(firewall);
    }

    /// Asks the NAT of a client's host for its service port (RFC 6081 §5.3.3), and tells the client. Returns the external
    /// address, if the NAT is an Internet Gateway Device and agrees.
    pub fn ask_gateway(&mut self, id: ClientId) -> Option<SocketAddrV4> {
        let external = self.open_at_gateway(id);
        self.tell_mapping(id, external);
        external
    }

    /// The same, but its answer has not reached the client yet.
    pub fn open_at_gateway(&mut self, id: ClientId) -> Option<SocketAddrV4> {
        let local = self.clients[id.0].local();
        match self.network_of(id) {
            Network::Internet => None,
            Network::Behind(nat) => {
                let (now, nat) = (self.now, &mut self.routers[nat.0].nat);
                nat.add_port_mapping(now, local.port(), local, Duration::ZERO)
                    .and_then(|()| nat.told_address())
                    .ok()
                    .map(|address| SocketAddrV4::new(address, local.port()))
            }
        }
    }

    /// Tells a client what its NAT has answered.
    pub fn tell_mapping(&mut self, id: ClientId, external: Option<SocketAddrV4>) {
        let actions = self.clients[id.0].set_upnp_mapping(self.now, external);
        self.act(id.into(), actions);
    }

    /// Opens a further UDP port on a client's host, beside its random ports. Returns its local
    /// address, or `None` if the port is in use there.
    pub fn open_port(&mut self, id: ClientId, port: u16) -> Option<SocketAddrV4> {
        self.clients[id.0].open_port(port)
    }

    /// Closes a further port of a client's host. The NAT's mappings stay until they expire.
    pub fn close_port(&mut self, id: ClientId, port: u16) {
        self.clients[id.0].close_port(port);
    }

    /// Sends a datagram from a port of a client's host, whether the service port or a further one, with the default
    /// time to live or another.
    ///
    /// # Panics
    ///
    /// If the port is not open.
    pub fn send_from(
        &mut self,
        id: ClientId,
        port: u16,
        to: SocketAddrV4,
        ttl: Option<u8>,
        payload: &[u8],
    ) {
        match self.clients[id.0].send_from(port, to, ttl, payload) {
            Some(datagram) => self.emit(id.into(), datagram),
            None => panic!("{id} has no port {port}"),
        }
    }

    /// Sends an IPv6 packet of a client's host through the tunnel.
    pub fn send(&mut self, id: ClientId, packet: &[u8]) {
        // The world handles the result.
        let _ = self.submit(id, packet);
    }

    /// As [`Self::send`], but returns the client's decision. The packet is already on its way.
    pub fn submit(&mut self, id: ClientId, packet: &[u8]) -> Submission {
        let (submission, actions) = self.clients[id.0].submit(self.now, packet);
        self.act(id.into(), actions);
        submission
    }

    /// Sends an IPv6 packet of a relay's host through the tunnel, and returns the relay's decision. The packet is
    /// already on its way.
    pub fn submit_to_relay(&mut self, id: RelayId, packet: &[u8]) -> Submission {
        let (submission, actions) = self.relays[id.0].submit(self.now, packet);
        self.act(id.into(), actions);
        submission
    }

    /// Kills and restarts a relay on the same port. It has forgotten its peers.
    pub fn restart_relay(&mut self, id: RelayId) {
        let seed = self.machine_seed();
        self.relays[id.0].restart(seed);
        self.act(id.into(), Vec::new());
    }

    /// Changes a relay's settings.
    pub fn change_relay(&mut self, id: RelayId, change: impl FnOnce(&mut Relay)) {
        let actions = self.relays[id.0].change(self.now, change);
        self.act(id.into(), actions);
    }

    /// Sends a packet into the native IPv6 Internet, with any source.
    pub fn send_native(&mut self, packet: &[u8]) {
        self.schedule
            .push(self.now + NATIVE_DELAY, Event::Native(packet.to_vec()));
    }

    /// Sends a datagram of a raw host, with any source.
    pub fn inject(
        &mut self,
        id: RawId,
        source: SocketAddrV4,
        destination: SocketAddrV4,
        payload: &[u8],
    ) {
        let datagram = Datagram::new(source, destination, payload.to_vec());
        self.inject_datagram(id, datagram);
    }

    /// Sends a datagram of a raw host as it is, for instance with another time to live or the DF bit.
    pub fn inject_datagram(&mut self, id: RawId, datagram: Datagram) {
        self.emit(id.into(), datagram);
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step_before(end) {}
        self.now = end;
    }

    /// Lets time pass until `condition` holds, at most `limit`, and returns whether it holds. The time is then that of
    /// the deciding event.
    #[must_use = "without a look at the result, a condition that never came passes unnoticed"]
    pub fn run_until(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step_before(end) {
                self.now = end;
                return condition(self);
            }
        }
    }

    /// Advances to the next event. Returns whether there was one.
    pub fn step(&mut self) -> bool {
        self.step_before(Instant::from_nanos(u64::MAX))
    }

    fn act(&mut self, host: HostId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(datagram) => self.emit(host, datagram),
                Action::Native(packet) => self
                    .schedule
                    .push(self.now + NATIVE_DELAY, Event::Native(packet)),
                Action::Deliver(packet) => {
                    if let (Some(observer), HostId::Client(id)) = (&mut self.observer, host) {
                        observer.delivered(self.now, id, &packet);
                    }
                }
                Action::Tell(event) => {
                    if let (Some(observer), HostId::Client(id)) = (&mut self.observer, host) {
                        observer.event(self.now, id, &event);
                    }
                }
            }
        }
        let alarm = match host {
            HostId::Client(id) => self.clients[id.0].next_alarm(),
            HostId::Relay(id) => self.relays[id.0].next_alarm(),
            HostId::Server(_) | HostId::Raw(_) => None,
        };
        if let Some((at, number)) = alarm {
            self.schedule
                .push(at.max(self.now), Event::Alarm(host, number));
        }
    }
}
