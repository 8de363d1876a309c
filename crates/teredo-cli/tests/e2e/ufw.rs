//! Debian's real ufw on the client's host: it drops the port until the administrator has typed what the agent says.

mod rules;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use teredo_lab::{Host, Receive as _};
use teredo_notify::types::Status;

use crate::visitor::{ALLOWED, CLOSED, Visitor};
use crate::world::*;
pub(crate) use rules::Ufw;

/// A host with ufw, and another one of the same network.
struct Walled<'a> {
    host: &'a Host,
    neighbour: Host,
    ufw: Ufw<'a>,
}

impl<'a> Walled<'a> {
    fn new(world: &'a World, host: &'a Host) -> Self {
        Self {
            host,
            neighbour: world.left.host("neighbour").unwrap(),
            ufw: Ufw::enable(world, host),
        }
    }

    /// Sends a datagram of a new flow from the neighbour. Whether it came through all chains; the agent must have the port.
    #[track_caller]
    fn passes(&self, port: u16) -> bool {
        let (arrived, passed) = passage(self.host);
        let socket = self
            .neighbour
            .udp_socket((self.neighbour.ipv4(), 0))
            .unwrap();
        socket
            .send_to(b"?", SocketAddr::from((self.host.ipv4(), port)))
            .unwrap();
        eventually(SECOND, "a datagram", || passage(self.host).0 > arrived);
        passage(self.host).1 > passed
    }

    /// Whether the host's socket gets a datagram for a port that no agent knows.
    fn stranger_gets_in(&self) -> bool {
        let socket = self.host.udp_socket((self.host.ipv4(), 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let to = socket.local_addr().unwrap();
        let sender = self
            .neighbour
            .udp_socket((self.neighbour.ipv4(), 0))
            .unwrap();
        sender.send_to(b"?", to).unwrap();
        socket.receive(&mut [0; 4]).is_ok()
    }
}

fn ufw_alone_is_to_blame(status: &Status) -> bool {
    let problems = status.problems.join("\n");
    !in_sync(status) && problems.contains("ufw") && problems.contains("type once, as root: ")
}

/// The commands in a text of the agent.
fn commands(text: &str) -> String {
    let (_, commands) = text.split_once("type once, as root: ").unwrap();
    commands.trim().to_owned()
}

/// N-16, F-1, F-2: the agent says what ufw needs, and that works when typed. The port then follows at once, through ufw's
/// reloads, and closes with the client and with the agent. What the administrator denies stays denied.
#[test]
fn ufw_passes_the_port_once_its_line_is_there() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let walled = Walled::new(&world, &host);
    let mut agent = world.agent(&host, &[]);
    let line = agent
        .wait_for_line("ufw drops what the agent opens", SECOND * 5)
        .unwrap();
    let alice = world.client(&host, &[]);
    let first = alice.qualified().port;
    let status = alice.until(SECOND * 5, "the truth", ufw_alone_is_to_blame);
    assert!(!walled.passes(first));
    let problems = status.problems.join("\n");
    let problem = problems.lines().find(|line| line.contains("type once"));
    assert_eq!(commands(problem.unwrap()), commands(&line));

    let said = walled.ufw.type_in(&commands(&line));
    assert!(said.contains("Firewall reloaded"), "{said}");
    let status = alice.until(SECOND * 5, "a firewall in step", in_sync);
    assert_eq!(status.firewall[0].backend.as_deref(), Some("ufw"));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    assert!(walled.passes(first));
    assert!(!walled.stranger_gets_in());
    let files = walled.ufw.files();

    let mut slowest = 0;
    for _ in 0..20 {
        let next = alice.connect().rebind(None).unwrap();
        assert!(next.settled);
        assert!(walled.passes(next.port));
        let gate = &alice.status().firewall[0];
        assert_eq!(gate.missed, 0);
        slowest = slowest.max(gate.settle_us.unwrap());
    }
    println!("slowest confirmation of 20: {slowest} us");
    let port = alice.status().port;

    for reload in [
        "ufw reload",
        "ufw --force disable; ufw --force enable",
        "ufw allow 9/tcp",
    ] {
        walled.ufw.type_in(reload);
        assert!(walled.passes(port), "{reload}");
        alice.until(SECOND * 3, "a firewall in step", in_sync);
    }
    walled.ufw.type_in("ufw delete allow 9/tcp");
    let neighbour = walled.neighbour.ipv4();
    walled.ufw.type_in(&format!("ufw deny from {neighbour}"));
    assert!(
        !walled.passes(port),
        "a source that the administrator denies"
    );
    walled
        .ufw
        .type_in(&format!("ufw delete deny from {neighbour}"));
    assert!(walled.passes(port));

    // Without the line the truth is told again.
    let after = walled.ufw.folder.join("after.rules");
    let with = fs::read_to_string(&after).unwrap();
    let without: String = with
        .lines()
        .filter(|line| !line.contains("--mark"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&after, without).unwrap();
    walled.ufw.type_in("ufw reload");
    alice.until(SECOND * 5, "the truth", ufw_alone_is_to_blame);
    fs::write(&after, with).unwrap();
    walled.ufw.type_in("ufw reload");
    alice.until(SECOND * 5, "a firewall in step", in_sync);

    agent.kill().unwrap();
    let killed = Instant::now();
    eventually(Duration::from_secs(17), "the lease ends", || {
        ports(&host, OWN_SET).is_empty()
            && elements(&host, "inet teredo marked").unwrap().is_empty()
    });
    println!("closed {:?} after the agent was killed", killed.elapsed());
    assert!(!walled.stranger_gets_in());
    agent = world.agent(&host, &[]);
    alice.until(SECOND * 5, "a firewall in step", in_sync);
    assert!(walled.passes(port));
    alice.connect().stop().unwrap();
    eventually(SECOND, "no port", || ports(&host, OWN_SET).is_empty());
    agent.terminate(SECOND * 5).unwrap();
    assert!(elements(&host, "inet teredo marked").unwrap().is_empty());
    assert_eq!(walled.ufw.files(), files);
}

/// F-5: what `--allow-inbound` opens inside the tunnel passes ufw, too, and nothing else does. With `--backend nftables`
/// nothing is marked.
#[test]
fn exceptions_inside_the_tunnel_pass_ufw() {
    let (world, _server) = World::with_server();
    let host = world.left.host("alice").unwrap();
    let walled = Walled::new(&world, &host);
    let agent = world.agent(&host, &["--allow-inbound", "5001/udp", "--backend", "ufw"]);
    let line = agent
        .wait_for_line("ufw drops what the agent opens", SECOND * 5)
        .unwrap();
    let alice = world.client(&host, &[]);
    let bob_host = world.right.host("bob").unwrap();
    let bob = world.client(&bob_host, &[]);
    let (to, _) = (alice.address(), bob.address());

    let visitor = Visitor::new(&bob_host, &host, to);
    assert!(!visitor.arrives(ALLOWED));
    walled.ufw.type_in(&commands(&line));
    eventually(SECOND * 10, "a datagram through the tunnel", || {
        visitor.arrives(ALLOWED)
    });
    assert!(!visitor.arrives(CLOSED));
    agent.terminate(SECOND * 5).unwrap();
    assert!(
        !visitor.arrives(ALLOWED),
        "the exception outlives the agent"
    );

    let _agent = world.agent(&host, &["--backend", "nftables"]);
    alice.until(SECOND * 5, "the truth", |status| {
        let problems = status.problems.join("\n");
        problems.contains("the chain 'ip filter INPUT'")
    });
    assert!(elements(&host, "inet teredo marked").unwrap().is_empty());
}
