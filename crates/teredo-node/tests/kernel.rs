//! Clients and a relay whose packets pass in the kernel. Needs root, and Linux 6.6.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aya::programs::{SchedClassifier, TcAttachType};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use teredo_lab::{Host, Internet, ping, until};
use teredo_node::teredo::{ClientConfig, ServerAddress, ServerConfig};
use teredo_node::teredo_notify::hub::{GateOwner, GateReport};
use teredo_node::teredo_notify::service::Control as _;
use teredo_node::teredo_notify::types::{Carrier, Status};
use teredo_node::teredo_tunnel::kernel::{DataPathChoice, KernelPath, KernelStatus, Outcome};
use teredo_node::teredo_tunnel::server::{ServerDataPath, ServerHandle};
use teredo_node::{Client, ClientBuilder, NodeControl, Predecessor, Relay, StartError, control};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 45);
const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const RELAY_NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
const SOON: Duration = Duration::from_secs(20);

/// A host of an internet, with a runtime on a thread in its namespace.
struct Place {
    host: Host,
    runtime: Handle,
    /// The runtime ends when this is gone.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    fn new(host: Host) -> Self {
        let namespace = host.namespace().clone();
        let (end, ended) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let body = move || {
            namespace.enter().unwrap();
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                tell.send(Handle::current()).unwrap();
                let _ = ended.await;
            });
        };
        let thread = Some(thread::spawn(body));
        Self {
            host,
            runtime: told.recv().unwrap(),
            end: Some(end),
            thread,
        }
    }

    /// Runs a future in the namespace.
    #[track_caller]
    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.runtime
            .spawn(async move { tell.send(future.await).unwrap() });
        told.recv_timeout(SOON * 3).expect("an answer")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A running node.
struct Node<N> {
    place: Place,
    node: Option<N>,
    kernel: KernelPath,
    control: NodeControl,
}

impl<N> Node<N> {
    fn node(&self) -> &N {
        self.node.as_ref().unwrap()
    }

    fn status(&self) -> Status {
        let control = self.control.clone();
        self.place.run(async move { control.status().await })
    }

    fn kernel(&self) -> KernelStatus {
        self.kernel.status()
    }
}

/// Runtimes do not end within others.
impl<N> Drop for Node<N> {
    fn drop(&mut self) {
        let _runtime = self.place.runtime.enter();
        drop(self.node.take());
    }
}

/// A server with its host.
type Server = (Host, ServerHandle);

/// A client with its Teredo address.
type Qualified = (Node<Client>, Ipv6Addr);

fn server(internet: &Internet) -> Server {
    let address = ServerAddress::adjacent(SERVER);
    let native = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
    let host = internet.native_host("server", &[SERVER, address.secondary], native);
    let host = host.expect("these tests need root");
    let spawn = || {
        let config = ServerConfig::new(address);
        let path = ServerDataPath::user();
        ServerHandle::spawn(vec![config], NonZeroUsize::MIN, &path, |_| ()).unwrap()
    };
    let handle = host.namespace().run(spawn).unwrap();
    (host, handle)
}

/// A client that is qualified.
fn client(internet: &Internet, name: &str, address: Ipv4Addr) -> Qualified {
    let place = Place::new(internet.host(name, &[address]).unwrap());
    client_at(place, |builder| builder)
}

fn client_at(
    place: Place,
    settings: impl FnOnce(ClientBuilder) -> ClientBuilder + Send + 'static,
) -> Qualified {
    let (control, requests) = control();
    let (client, own) = place.run(async {
        let builder = Client::builder(ServerAddress::adjacent(SERVER))
            .data_path(DataPathChoice::Kernel)
            .requests(requests);
        let client = settings(builder).start().await.unwrap();
        let own = client.qualified().await.unwrap();
        (client, own)
    });
    let kernel = client.kernel_path().unwrap().clone();
    let node = Node {
        place,
        node: Some(client),
        kernel,
        control,
    };
    (node, own)
}

fn two_clients() -> (Internet, Server, [Qualified; 2]) {
    let internet = Internet::new().expect("these tests need root");
    let server = server(&internet);
    let near = client(&internet, "near", NEAR);
    let far = client(&internet, "far", FAR);
    (internet, server, [near, far])
}

/// Echo requests have no checksum that hardware fills in, so they pass in the kernel on every link. One that the path asks
/// the stack with may be overtaken.
#[track_caller]
fn echo(from: &Host, to: Ipv6Addr, count: u16) {
    let answers = ping(from, to, count, SOON).unwrap();
    assert_eq!(answers.order.len(), usize::from(count), "{answers:?}");
}

/// Makes all packets of a node pass in the kernel, both ways. They go one by one: user space at the other end may send several
/// as one, which do not.
#[track_caller]
fn warm_up<N>(near: &Node<N>, host: &Host, far: Ipv6Addr) {
    until(SOON, "packets in the kernel", || {
        let before = near.kernel().packets();
        for _ in 0..3 {
            echo(host, far, 1);
        }
        (near.kernel().packets() >= before + 6).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", near.kernel()));
}

/// The first packets go by user space, which proves the path, and the others pass in the kernel. The status counts all.
#[test]
fn packets_of_a_known_peer_pass_in_the_kernel() {
    let (_internet, _server, [(near, own), (far, peer)]) = two_clients();
    warm_up(&near, &near.place.host, peer);
    warm_up(&far, &far.place.host, own);
    let (before, received) = (near.kernel(), near.status().counters.rx_packets);
    echo(&near.place.host, peer, 200);
    let passed = near.kernel().packets() - before.packets();
    assert!(passed >= 380, "{passed} of 400: {:?}", near.kernel());
    assert!(far.kernel().packets() >= 380, "{:?}", far.kernel());
    let status = near.status();
    let path = &status.data_path;
    assert_eq!((path.in_use, &path.reason), (Carrier::Kernel, &None));
    assert!(path.packets.kernel >= 380, "{path:?}");
    assert!(path.packets.user > 0, "{path:?}");
    assert!(status.counters.rx_packets >= received + 200, "{status:?}");

    let control = near.control.clone();
    let peers = near.place.run(async move { control.peers(10).await });
    let known = peers.iter().find(|known| known.address == peer).unwrap();
    assert!(known.counters.rx_packets >= 200, "{known:?}");
    assert!(known.counters.tx_packets >= 200, "{known:?}");
}

/// Nobody carries a packet that is dropped: one to a native host that no relay serves, and what the host itself sends.
#[test]
fn packets_that_are_dropped_are_not_carried() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let host = &near.place.host;
    warm_up(&near, host, peer);
    let packets = |status: &Status| status.data_path.packets;
    let before = near.status();
    let taken = |status: &Status| status.data_path.counters["tun_rx_packets"];
    for _ in 0..5 {
        let answers = ping(host, NATIVE, 1, Duration::from_millis(50)).unwrap();
        assert!(answers.order.is_empty(), "{answers:?}");
    }
    let after = near.status();
    assert!(taken(&after) >= taken(&before) + 5, "{after:?}");
    assert_eq!(packets(&after), packets(&before));
}

/// A relay's packets pass in the kernel between its clients and native hosts, and its counters have them.
#[test]
fn packets_through_a_relay_pass_in_the_kernel() {
    let internet = Internet::new().expect("these tests need root");
    let _server = server(&internet);
    let host = internet
        .native_host("relay", &[RELAY], RELAY_NATIVE)
        .unwrap();
    internet
        .announce(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, &host)
        .unwrap();
    let native = internet.native_host("native", &[], NATIVE).unwrap();
    let place = Place::new(host);
    let (control, requests) = control();
    let relay = place.run(async {
        let relay = Relay::builder()
            .lanes(const { NonZeroUsize::new(2).unwrap() })
            .data_path(DataPathChoice::Kernel)
            .requests(requests)
            .start();
        relay.await.unwrap()
    });
    let relay = Node {
        kernel: relay.kernel_path().unwrap().clone(),
        place,
        node: Some(relay),
        control,
    };
    let (near, own) = client(&internet, "near", NEAR);
    warm_up(&relay, &native, own);
    warm_up(&near, &near.place.host, NATIVE);
    let before = relay.kernel();
    echo(&native, own, 100);
    echo(&near.place.host, NATIVE, 100);
    let passed = relay.kernel().packets() - before.packets();
    assert!(passed >= 380, "{passed} of 400: {:?}", relay.kernel());
    let status = relay.status();
    assert_eq!(status.data_path.in_use, Carrier::Kernel);
    assert!(
        status.data_path.counters["relayed_to_clients"] >= 200,
        "{status:?}"
    );
    assert!(status.counters.tx_packets >= 200, "{status:?}");
    assert_eq!(relay.kernel.peers(), [own]);
}

/// Without a firewall that was there, the path is closed before its end is known to anybody else. It opens when one has
/// confirmed the port again.
#[test]
fn a_lost_gate_closes_the_path_at_once() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let hub = near.node().hub().clone();
    let gate = hub.register_gate(GateOwner::default()).unwrap();
    let reason = || near.kernel().reason.unwrap_or_default();
    assert_eq!(
        reason(),
        "a firewall that follows the port has not confirmed it"
    );
    gate.settle(hub.snapshot().sequence).unwrap();
    assert!(near.kernel().open);
    warm_up(&near, &near.place.host, peer);

    let before = near.kernel();
    drop(gate);
    assert_eq!(reason(), "a firewall that follows the port was lost");
    echo(&near.place.host, peer, 10);
    assert_eq!(near.kernel().packets(), before.packets());
    assert_eq!(near.status().data_path.in_use, Carrier::User);

    let other = hub.register_gate(GateOwner::default()).unwrap();
    assert!(!near.kernel().open);
    other.settle(hub.snapshot().sequence).unwrap();
    assert!(near.kernel().open);
    warm_up(&near, &near.place.host, peer);
    // One that says that it is not well has not confirmed.
    let trouble = GateReport {
        trouble: Some("it cannot".to_owned()),
        valid: SOON,
        ..GateReport::default()
    };
    hub.report(other.id(), trouble).unwrap();
    assert!(!near.kernel().open);
}

/// While the port changes, nothing leaves by the path, and the entries of the old port are gone. From the new port, packets
/// pass in the kernel again.
#[test]
fn the_path_is_closed_while_the_port_changes() {
    let (_internet, _server, [(near, _), (_far, peer)]) = two_clients();
    let hub = near.node().hub().clone();
    let gate = hub.register_gate(GateOwner::default()).unwrap();
    gate.settle(hub.snapshot().sequence).unwrap();
    for port in [40_001, 40_002, 40_003] {
        warm_up(&near, &near.place.host, peer);
        let before = hub.snapshot().sequence;
        let rebind = near.node().rebind(Some(port));
        until(SOON, "the announcement", || {
            (hub.snapshot().sequence > before).then_some(())
        })
        .unwrap();
        let status = near.kernel();
        assert!(!status.open);
        assert_eq!(status.reason.as_deref(), Some("there is no settled port"));
        assert_eq!(near.kernel.peers(), [] as [Ipv6Addr; 0]);
        gate.settle(hub.snapshot().sequence).unwrap();
        assert!(near.place.run(rebind).unwrap().settled);
        until(SOON, "an open path", || near.kernel().open.then_some(())).unwrap();
        until(SOON, "the address of the new port", || {
            let mapped = near.status().mapped?;
            (mapped.port() == port).then_some(())
        })
        .unwrap();
    }
    warm_up(&near, &near.place.host, peer);
}

/// R4380-5.2-02: a peer leaves the map before it leaves the list.
#[test]
fn evicted_peers_leave_the_map() {
    let internet = Internet::new().expect("these tests need root");
    let _server = server(&internet);
    let place = Place::new(internet.host("near", &[NEAR]).unwrap());
    let (near, _) = client_at(place, |builder| {
        builder.protocol(ClientConfig {
            max_peers: 1,
            ..ClientConfig::default()
        })
    });
    let (_one, first) = client(&internet, "one", FAR);
    let (_two, second) = client(&internet, "two", Ipv4Addr::new(203, 0, 113, 9));
    for peer in [first, second, first] {
        warm_up(&near, &near.place.host, peer);
        assert_eq!(near.kernel.peers(), [peer]);
    }
}

/// A client of the same process goes on with the programs of the one before, without the privilege to load them.
#[test]
fn the_next_client_takes_the_path_over() {
    let (_internet, _server, [(mut near, _), (_far, peer)]) = two_clients();
    warm_up(&near, &near.place.host, peer);
    let client = near.node.take().unwrap();
    let kernel = near.kernel.clone();
    let (control, requests) = control();
    near.control = control;
    let next = near.place.run(async move {
        client.leave().await;
        assert!(!kernel.status().open);
        assert_eq!(kernel.peers(), [] as [Ipv6Addr; 0]);
        deny_bpf_program_load();
        let next = Client::builder(ServerAddress::adjacent(SERVER))
            .data_path(DataPathChoice::Kernel)
            .predecessor(Predecessor {
                kernel: Some(kernel),
                ..Predecessor::default()
            })
            .requests(requests)
            .start()
            .await
            .unwrap();
        next.qualified().await.unwrap();
        next
    });
    near.node = Some(next);
    warm_up(&near, &near.place.host, peer);
}

/// If the operator insists, a client that cannot have the path does not start; otherwise user space carries the packets,
/// and the status says why.
#[test]
fn without_bpf_the_operator_decides() {
    let internet = Internet::new().expect("these tests need root");
    let place = Place::new(internet.host("near", &[NEAR]).unwrap());
    let start = |choice| {
        let (control, requests) = control();
        let builder = Client::builder(ServerAddress::adjacent(SERVER)).data_path(choice);
        place.run(async move {
            let client = builder.requests(requests).start().await?;
            let path = control.status().await.data_path;
            client.shutdown().await.unwrap();
            Ok::<_, StartError>(path)
        })
    };
    let path = start(DataPathChoice::User).unwrap();
    assert_eq!(path.reason.as_deref(), Some("data_path is user"));
    place.run(async { deny_bpf_program_load() });
    const REASON: &str = "the kernel permits no BPF: it takes CAP_BPF and CAP_NET_ADMIN";
    let path = start(DataPathChoice::Auto).unwrap();
    assert_eq!(path.in_use, Carrier::User);
    assert_eq!(path.reason.as_deref(), Some(REASON));
    let error = start(DataPathChoice::Kernel).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot have the path in the kernel: {REASON}")
    );
}

/// From here on, this thread can load no programs.
fn deny_bpf_program_load() {
    const PROG_LOAD: u64 = 5;
    let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    let condition = SeccompCondition::new(0, length, equal, PROG_LOAD).unwrap();
    let rule = SeccompRule::new(vec![condition]).unwrap();
    let filter = SeccompFilter::new(
        [(libc::SYS_bpf, vec![rule])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// Set for the process that is to be killed.
const HOLD: &str = "TEREDO_KERNEL_HOLD";

/// How many programs are attached to the host's interface to the Internet.
fn attached(host: &Host) -> usize {
    let count = || {
        [TcAttachType::Egress, TcAttachType::Ingress]
            .map(|hook| {
                let (_, programs) = SchedClassifier::query_tcx(host.interface(), hook).unwrap();
                programs.len()
            })
            .iter()
            .sum()
    };
    host.namespace().run(count).unwrap()
}

/// Nothing of a killed client stays.
#[test]
fn a_killed_client_leaves_nothing() {
    let internet = Internet::new().expect("these tests need root");
    let _server = server(&internet);
    let (_far, peer) = client(&internet, "far", FAR);
    let near = internet.host("near", &[NEAR]).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "holds_a_client", "--nocapture"])
        .env(HOLD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = near.namespace().spawn(&mut command).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("qualified")));
    echo(&near, peer, 5);
    until(SOON, "the programs", || {
        (attached(&near) == 2).then_some(())
    })
    .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    until(SOON, "the end of the programs", || {
        (attached(&near) == 0).then_some(())
    })
    .unwrap();
}

/// The process that the test before kills; by itself it does nothing.
#[test]
fn holds_a_client() {
    let Some(_) = std::env::var_os(HOLD) else {
        return;
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::builder(ServerAddress::adjacent(SERVER))
            .data_path(DataPathChoice::Kernel)
            .start()
            .await
            .unwrap();
        client.qualified().await.unwrap();
        println!("qualified");
        std::future::pending::<()>().await;
    });
}

const CONTENT: usize = 8 << 20;
/// The payload of a full segment, with timestamps.
const SEGMENT: u64 = 1280 - 60 - 12;

/// Sends content over TCP from one host to an address of another, which counts it.
fn transfer(from: &Host, to: &Host, address: Ipv6Addr) {
    let listener = until(SOON, "a listener", || {
        let bind = || TcpListener::bind((address, 0));
        to.namespace().run(bind).unwrap().ok()
    });
    let listener = listener.unwrap();
    let target = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let received = scope.spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut content = Vec::new();
            stream.read_to_end(&mut content).unwrap();
            content.len()
        });
        let stream = from.namespace().run(|| TcpStream::connect(target));
        let mut stream = stream.unwrap().unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.write_all(&vec![7; CONTENT]).unwrap();
        drop(stream);
        assert_eq!(received.join().unwrap(), CONTENT);
    });
}

/// On a virtual link the packets of TCP lack their checksum. They pass in the kernel as soon as both ends have shown that they
/// take them, which user space does first.
#[test]
fn a_connection_on_a_virtual_link_passes_in_the_kernel() {
    let (_internet, _server, [(near, own), (far, peer)]) = two_clients();
    // Without a ping before, which would pass in the kernel and show the path. A path that waits, for the reading of a rule or for a
    // slow machine, hands packets to user space for a moment; one that cannot take these packets does so for ever.
    let segments = 2 * CONTENT as u64 / SEGMENT;
    let mut passed = Vec::new();
    for _ in 0..5 {
        let before = near.kernel().packets();
        transfer(&near.place.host, &far.place.host, peer);
        transfer(&far.place.host, &near.place.host, own);
        passed.push(near.kernel().packets() - before);
        if passed.last() > Some(&(segments * 8 / 10)) {
            return;
        }
    }
    panic!("{passed:?} of {segments} each time");
}

/// A peer that has no such path gets whole packets, and all of them.
#[test]
fn a_connection_to_a_user_space_on_a_virtual_link_arrives() {
    let internet = Internet::new().expect("these tests need root");
    let _server = server(&internet);
    let (near, own) = client(&internet, "near", NEAR);
    let place = Place::new(internet.host("far", &[FAR]).unwrap());
    let (far, peer) = place.run(async {
        let builder = Client::builder(ServerAddress::adjacent(SERVER));
        let builder = builder.data_path(DataPathChoice::User);
        let client = builder.start().await.unwrap();
        let own = client.qualified().await.unwrap();
        (client, own)
    });
    warm_up(&near, &near.place.host, peer);
    transfer(&near.place.host, &place.host, peer);
    transfer(&place.host, &near.place.host, own);
    let sent = near.kernel().outcomes.get(Outcome::EncapsulatedBytes);
    assert!(sent < CONTENT as u64 / 10, "{sent} bytes unfinished");
    let _runtime = place.runtime.enter();
    drop(far);
}

#[path = "kernel/rules.rs"]
mod rules;
