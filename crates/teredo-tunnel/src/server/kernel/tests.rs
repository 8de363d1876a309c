//! A server whose solicitations the kernel answers, asked by a host behind a router. Each is in a namespace of its own.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::num::NonZeroUsize;
use std::process::Command;

use rustix::thread::CapabilitySet;
use socket2::{Domain, Protocol, Socket, Type};
use teredo::server::{Rate, RelayLimits};
use teredo::wire::{Authentication, Flags, PORT, emit_router_solicitation, link_local};
use teredo::{KnownClients, ServerConfig};
use teredo_lab::{Host, Internet, Receive};

use super::super::{ServerHandle, ServerStatus};
use super::*;
use crate::netns::{PATIENCE, block_on, eventually};

const PRIMARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 120);
const SECONDARY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 121);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Another client, by whose solicitations the stack is asked.
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

struct World {
    host: Host,
    client: Host,
    other: Host,
    /// At the other end of the server's link, where it lets everything pass.
    _other_end: Option<Programs>,
}

impl World {
    /// `native`: the link to the server's host can carry the frames that a program in its driver sends.
    fn new(native: bool) -> Self {
        let internet = Internet::new().unwrap();
        let host = internet.host("server", &[PRIMARY, SECONDARY]).unwrap();
        let client = internet.host("client", &[CLIENT]).unwrap();
        let other = internet.host("other", &[OTHER]).unwrap();
        let attach = || {
            let mut programs = Programs::load().unwrap();
            programs.attach("to-server", true).unwrap();
            programs
        };
        // For the features that the program asks for, before it is there.
        internet.core().set_large_frames("to-server", true).unwrap();
        host.namespace().set_large_frames("eth0", true).unwrap();
        let other_end = native.then(|| internet.core().run(attach).unwrap());
        Self {
            host,
            client,
            other,
            _other_end: other_end,
        }
    }

    fn serve(&self, config: ServerConfig) -> ServerHandle {
        let serve = || {
            let path = ServerDataPath::prepare(DataPathChoice::Kernel).unwrap();
            ServerHandle::spawn(vec![config], NonZeroUsize::MIN, &path, |_| ()).unwrap()
        };
        self.host.namespace().run(serve).unwrap()
    }

    fn run(&self, host: &Host, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments);
        let status = host.namespace().spawn(&mut command);
        let status = status
            .unwrap_or_else(|error| panic!("{program}: {error}; is its package installed?"))
            .wait()
            .unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    }

    /// A socket of the client, and its mapping.
    fn socket(&self) -> (UdpSocket, SocketAddrV4) {
        socket_of(&self.client)
    }

    /// Asks until the kernel answers.
    fn await_kernel(&self, server: &ServerHandle) {
        let (socket, local) = socket_of(&self.other);
        let target = status(server).data_path.kernel_packets + 16;
        eventually("answers of the kernel", || {
            for cone in [false, true] {
                for to in [PRIMARY, SECONDARY] {
                    socket
                        .send_to(&solicitation(local, cone), (to, PORT))
                        .unwrap();
                    let received = socket.receive_from(&mut [0; 2048]);
                    assert!(received.is_ok(), "{cone}, {to}: {:?}", status(server));
                }
            }
            (status(server).data_path.kernel_packets >= target).then_some(())
        });
    }
}

/// A socket of a host, and its mapping.
fn socket_of(host: &Host) -> (UdpSocket, SocketAddrV4) {
    let socket = host.udp_socket((host.ipv4(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let SocketAddr::V4(local) = socket.local_addr().unwrap() else {
        unreachable!("it is bound to an IPv4 address");
    };
    (socket, local)
}

fn config() -> ServerConfig {
    ServerConfig::new(ServerAddress::adjacent(PRIMARY))
}

fn solicitation(from: SocketAddrV4, cone: bool) -> Vec<u8> {
    let flags = if cone { Flags::CONE } else { Flags::default() };
    let mut solicitation = Vec::new();
    emit_router_solicitation(link_local(flags, from), &mut solicitation);
    solicitation
}

fn status(server: &ServerHandle) -> ServerStatus {
    block_on(server.status()).unwrap()
}

fn await_open(server: &ServerHandle) -> ServerStatus {
    eventually("an open path", || {
        let status = status(server);
        status.data_path.in_kernel.then_some(status)
    })
}

fn await_reason(server: &ServerHandle, words: &str) {
    eventually(words, || {
        let reason = status(server).data_path.reason?;
        reason.contains(words).then_some(())
    });
}

/// R4380-5.3.2-01, R4380-5.3.2-03, R4380-5.3.2-06: each address answers for itself, and for the other one if the cone bit asks
/// for that. The stack of the client has verified the checksums.
#[test]
fn the_kernel_answers_as_user_space_does() {
    let world = World::new(true);
    let server = world.serve(config());
    await_open(&server);
    world.await_kernel(&server);
    let before = status(&server);
    let (socket, local) = world.socket();
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut buffer = [0; 2048];
    let mut reference = Server::new(config(), [7; 32]);
    for round in 0..100 {
        let (cone, secondary, authenticated) = (round & 1 != 0, round & 2 != 0, round & 4 != 0);
        let (to, other) = if secondary {
            (SECONDARY, PRIMARY)
        } else {
            (PRIMARY, SECONDARY)
        };
        let mut question = Vec::new();
        if authenticated {
            Authentication::nonce_only(nonce).emit(&mut question);
        }
        question.extend_from_slice(&solicitation(local, cone));
        socket.send_to(&question, (to, PORT)).unwrap();
        let (len, from) = socket.receive_from(&mut buffer).unwrap();
        let source = if cone { other } else { to };
        assert_eq!(from, SocketAddrV4::new(source, PORT).into());
        let mut expected = question.clone();
        expected.resize(reference.buffer_len(), 0);
        let now = teredo::Instant::from_nanos(1);
        let answer = reference.answer_in_place(now, local, to, &mut expected, question.len());
        let Ok(teredo::server::Answer::Udp {
            len: expected_len, ..
        }) = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(buffer[..len], expected[..expected_len]);
    }
    let after = status(&server);
    let work = |status: &ServerStatus| {
        (
            status.served.advertisements,
            status.pairs[0].served.advertisements,
            status.traffic.udp.rx_datagrams,
            status.traffic.udp.tx_datagrams,
        )
    };
    let (before_work, after_work) = (work(&before), work(&after));
    assert_eq!(after_work.0 - before_work.0, 100);
    assert_eq!(after_work.1 - before_work.1, 100);
    assert_eq!(after_work.2 - before_work.2, 100);
    assert_eq!(after_work.3 - before_work.3, 100);
    let carried = after.data_path.kernel_packets - before.data_path.kernel_packets;
    // A few have asked the stack.
    assert!((150..=200).contains(&carried), "{carried}");
}

/// The program is where the server's address is. What comes by another interface, here the loopback, is answered by user space,
/// counted, and told as the reason until the kernel has answered somebody.
#[test]
fn solicitations_by_another_interface_are_counted_and_told() {
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
    let world = World::new(true);
    let address = format!("{ELSEWHERE}/32");
    world.run(
        &world.host,
        "ip",
        &["address", "add", &address, "dev", "lo"],
    );
    let server = world.serve(config());
    let open = await_open(&server);
    assert_eq!(open.data_path.other_interface, Some(0));
    let socket = world.host.udp_socket((ELSEWHERE, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let SocketAddr::V4(local) = socket.local_addr().unwrap() else {
        unreachable!("it is bound to an IPv4 address");
    };
    for _ in 0..3 {
        socket
            .send_to(&solicitation(local, false), (PRIMARY, PORT))
            .unwrap();
        socket.receive_from(&mut [0; 2048]).unwrap();
    }
    await_reason(&server, "arrive by another interface");
    let path = status(&server).data_path;
    assert!(!path.in_kernel);
    assert_eq!((path.other_interface, path.kernel_packets), (Some(3), 0));
    world.await_kernel(&server);
    let path = status(&server).data_path;
    assert_eq!((path.other_interface, path.reason), (Some(3), None));
}

/// A frame of a real link has a whole checksum; one that a virtual link hands on without is left to user space.
#[test]
fn in_front_of_the_stack_whole_checksums_are_answered() {
    let world = World::new(false);
    let server = world.serve(config());
    await_open(&server);
    let raw = world
        .client
        .namespace()
        .run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap());
    let raw = raw.unwrap();
    let (socket, local) = world.socket();
    let mut datagram = Vec::new();
    let payload = solicitation(local, false);
    datagram.extend_from_slice(&local.port().to_be_bytes());
    datagram.extend_from_slice(&PORT.to_be_bytes());
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(&payload);
    let to = SocketAddrV4::new(PRIMARY, PORT);
    eventually("an answer of the kernel", || {
        // Without a checksum, as RFC 768 permits.
        raw.send_to(&datagram, &to.into()).unwrap();
        let (len, from) = socket.receive_from(&mut [0; 2048]).unwrap();
        assert_eq!((len, from), (104, to.into()));
        (status(&server).data_path.kernel_packets >= 10).then_some(())
    });
    let before = status(&server).data_path;
    for _ in 0..20 {
        socket.send_to(&payload, to).unwrap();
        socket.receive_from(&mut [0; 2048]).unwrap();
    }
    let after = status(&server).data_path;
    assert_eq!(after.kernel_packets, before.kernel_packets);
    assert_eq!(after.user_packets - before.user_packets, 40);
}

/// An ordinary router at the other end of a virtual link hands half checksums on. All are answered, and the status says by whom.
#[test]
fn behind_an_ordinary_router_on_a_virtual_link_user_space_answers_and_says_why() {
    let world = World::new(false);
    let server = world.serve(config());
    await_open(&server);
    let (socket, local) = world.socket();
    for round in 0..20 {
        let cone = round & 1 != 0;
        let question = solicitation(local, cone);
        socket.send_to(&question, (PRIMARY, PORT)).unwrap();
        let (len, from) = socket.receive_from(&mut [0; 2048]).unwrap();
        let source = if cone { SECONDARY } else { PRIMARY };
        assert_eq!((len, from), (104, (source, PORT).into()));
    }
    let path = status(&server).data_path;
    assert!(!path.in_kernel);
    assert_eq!((path.kernel_packets, path.user_packets), (0, 40));
    let reason = path.reason.unwrap();
    let words =
        "solicitations arrive with unfinished checksums, as a virtual link (veth) hands them on";
    assert!(reason.starts_with(words), "{reason}");
}

/// R4380-5.3.2-06: one limit holds for both, so the sum of their answers is what the limit permits.
#[test]
fn one_limit_holds_for_both() {
    let world = World::new(true);
    let rate = |per_second: u32, burst: u32| Rate {
        per_second: per_second.try_into().unwrap(),
        burst: burst.try_into().unwrap(),
    };
    let mut config = config();
    config.limits = RelayLimits {
        // So slow that nothing is added during the test.
        advertisements: Some(rate(1, 200)),
        ..RelayLimits::default()
    };
    let server = world.serve(config);
    await_open(&server);
    let (socket, local) = world.socket();
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let plain = solicitation(local, false);
    // Trailers are user space's.
    let with_trailers = [&plain[..], &[0; 16]].concat();
    let mut answers = 0;
    for question in [&plain, &with_trailers].into_iter().cycle().take(600) {
        socket.send_to(question, (PRIMARY, PORT)).unwrap();
        // A refused one has no answer; the others come at once.
        if answers < 190 || question.len() == plain.len() {
            answers += u64::from(socket.receive(&mut [0; 2048]).is_ok());
        }
        if status(&server).drops.get(teredo::DropReason::RateLimited) > 20 {
            break;
        }
    }
    let status = status(&server);
    let served = status.served.advertisements;
    let kernel = status.data_path.kernel_packets / 2;
    assert!(kernel > 50 && served - kernel > 50, "{kernel} of {served}");
    // One in an interval takes two tokens: it was counted before it asked the stack.
    assert!((180..=215).contains(&served), "{served}");
}

#[test]
fn a_rule_for_one_source_closes_the_path_and_takes_effect() {
    let world = World::new(true);
    let server = world.serve(config());
    await_open(&server);
    world.await_kernel(&server);
    world.run(&world.host, "nft", &["add table inet t"]);
    let chain = "add chain inet t way { type filter hook input priority 0 ; }";
    world.run(&world.host, "nft", &[chain]);
    let rule = format!("add rule inet t way ip saddr {CLIENT} drop");
    world.run(&world.host, "nft", &[&rule]);
    await_reason(
        &server,
        "the rules may treat some sources unlike others: the rule with handle ",
    );
    let before = status(&server);
    let (socket, local) = world.socket();
    socket.set_nonblocking(true).unwrap();
    for _ in 0..10 {
        socket
            .send_to(&solicitation(local, false), (PRIMARY, PORT))
            .unwrap();
    }
    assert_eq!(status(&server).served, before.served);
    world.run(&world.host, "nft", &["flush ruleset"]);
    await_open(&server);
    world.await_kernel(&server);
}

/// The table of our own firewall agent, and rules that name the server's address and interface.
#[test]
fn rules_for_our_address_and_interface_leave_the_path_open() {
    let world = World::new(true);
    let agent = include_str!("../../../../teredo-firewall/src/table/tests/own_table.nft");
    world.run(&world.host, "nft", &[agent]);
    let script = format!(
        "table inet t {{ chain way {{ type filter hook input priority 0 ; policy drop ;
         iifname \"eth0\" ip daddr {{ {PRIMARY}, {SECONDARY} }} udp dport 3544 accept ; }} ; }}"
    );
    world.run(&world.host, "nft", &[&script]);
    let server = world.serve(config());
    await_open(&server);
    world.await_kernel(&server);
    // A rule for this group of interfaces is about ours from now on.
    let rule = format!("insert rule inet t way iifgroup 7 ip saddr {CLIENT} drop");
    world.run(&world.host, "nft", &[&rule]);
    await_open(&server);
    let group = ["link", "set", "eth0", "group", "7"];
    world.run(&world.host, "ip", &group);
    await_reason(
        &server,
        "the rules may treat some sources unlike others: the rule with handle ",
    );
}

/// A renewal of a lease, as the firewall agent makes one every 5 s, is no change; a rule that treats all alike is one that passes.
#[test]
fn a_renewal_leaves_the_path_open() {
    let world = World::new(true);
    let script = "table inet t { set s { type inet_service ; flags timeout ; elements = { 40000 timeout 1h } ; } ;
        chain way { type filter hook input priority 0 ; policy drop ; udp dport { 53, 3544 } accept ; } ; }";
    world.run(&world.host, "nft", &[script]);
    let server = world.serve(config());
    let opened = await_open(&server).data_path.since;
    world.await_kernel(&server);
    let renewal = "flush set inet t s ; add element inet t s { 40000 timeout 1h }";
    world.run(&world.host, "nft", &[renewal]);
    world.await_kernel(&server);
    assert_eq!(status(&server).data_path.since, opened);
    world.run(&world.host, "nft", &["add element inet t s { 40001 }"]);
    eventually("a look at the change", || {
        (status(&server).data_path.since != opened).then_some(())
    });
    await_open(&server);
}

/// A route that leads nowhere is how some operators refuse a source.
#[test]
fn a_blackhole_is_no_source() {
    let world = World::new(true);
    world.run(
        &world.host,
        "ip",
        &["route", "add", "blackhole", "198.51.100.0/25"],
    );
    let server = world.serve(config());
    await_open(&server);
    world.await_kernel(&server);
    let before = status(&server).data_path;
    let (socket, local) = world.socket();
    for _ in 0..20 {
        socket
            .send_to(&solicitation(local, false), (PRIMARY, PORT))
            .unwrap();
    }
    let after = eventually("the solicitations are taken", || {
        Some(status(&server).data_path)
            .filter(|after| after.user_packets >= before.user_packets + 20)
    });
    assert_eq!(after.kernel_packets, before.kernel_packets);
    world.run(
        &world.host,
        "ip",
        &["route", "del", "blackhole", "198.51.100.0/25"],
    );
    world.await_kernel(&server);
}

#[test]
fn a_server_for_known_clients_alone_answers_in_user_space() {
    let world = World::new(true);
    let server = world.serve(config());
    await_open(&server);
    server.set_security(Security::Required(Arc::new(KnownClients::default())));
    let path = status(&server).data_path;
    assert!(!path.in_kernel);
    assert_eq!(
        path.reason.as_deref(),
        Some("only clients with a secret are served")
    );
    server.set_security(Security::Open);
    await_open(&server);
    world.await_kernel(&server);
}

/// The loopback has no neighbour to answer to.
#[test]
fn without_an_interface_the_kernel_is_refused_or_left_out() {
    crate::netns::isolated(|| {
        crate::netns::netlink(async |handle| {
            for address in [PRIMARY, SECONDARY] {
                crate::netns::add_address(&handle, "lo", address, 32).await;
            }
        });
        let path = ServerDataPath::prepare(DataPathChoice::Kernel).unwrap();
        let refused = ServerHandle::spawn(vec![config()], NonZeroUsize::MIN, &path, |_| ());
        let text = refused.unwrap_err().to_string();
        let words =
            "the kernel cannot answer: no address of the server is on an Ethernet interface";
        assert_eq!(text, words);
        let path = ServerDataPath::prepare(DataPathChoice::Auto).unwrap();
        let server = ServerHandle::spawn(vec![config()], NonZeroUsize::MIN, &path, |_| ()).unwrap();
        let reason = status(&server).data_path.reason.unwrap();
        assert!(words.ends_with(&reason), "{reason}");
    });
}

/// The programs are loaded once, and serve one server after the other, as a reload needs it. By then a daemon has given up
/// CAP_BPF.
#[test]
fn the_next_server_goes_on_with_the_programs() {
    let world = World::new(true);
    let serve = |path: &ServerDataPath| {
        let spawn = || {
            // Of this thread, and of those that it starts.
            let mut sets = rustix::thread::capabilities(None).unwrap();
            sets.effective = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
            sets.permitted = sets.effective;
            rustix::thread::set_capabilities(None, sets).unwrap();
            ServerHandle::spawn(vec![config()], NonZeroUsize::MIN, path, |_| ()).unwrap()
        };
        world.host.namespace().run(spawn).unwrap()
    };
    let path = world
        .host
        .namespace()
        .run(|| ServerDataPath::prepare(DataPathChoice::Kernel));
    let path = path.unwrap().unwrap();
    let first = serve(&path);
    await_open(&first);
    world.await_kernel(&first);
    drop(first);
    assert!(!path.status(0).in_kernel);
    let second = serve(&path);
    assert_eq!(status(&second).served.advertisements, 0);
    await_open(&second);
    world.await_kernel(&second);
}

/// A client that others wrote takes its address from answers of the kernel. It asks from one address and the other.
#[test]
fn miredo_qualifies_with_the_kernel() {
    let world = World::new(true);
    let server = world.serve(config());
    await_open(&server);
    world.await_kernel(&server);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("miredo.conf");
    fs::write(
        &file,
        format!("InterfaceName teredo\nServerAddress {PRIMARY}\n"),
    )
    .unwrap();
    let before = status(&server);
    // The shell is there because `miredo` would shake off the signal of its parent's death.
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--",
    ]);
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.args(["miredo", "--foreground", "--user", "nobody", "--config"]);
    command
        .arg(&file)
        .arg("--pidfile")
        .arg(folder.path().join("pid"));
    let miredo = world.client.namespace().spawn(&mut command);
    let mut miredo = miredo.expect("it takes Debian's packages miredo and util-linux");
    // From the address that the server announces.
    let address = format!("20010000{:08x}", PRIMARY.to_bits());
    let read = || fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    let qualified = teredo_lab::until(PATIENCE * 2, "the address of miredo", || {
        let addresses = world.client.namespace().run(read).unwrap();
        addresses.contains(&address).then_some(())
    });
    let after = status(&server);
    miredo.kill().unwrap();
    miredo.wait().unwrap();
    qualified
        .unwrap_or_else(|error| panic!("{error}; is Debian's package miredo installed? {after:?}"));
    let answered = after.data_path.kernel_packets - before.data_path.kernel_packets;
    assert!(answered > 0, "{:?}", after.data_path);
}
