//! With the programs in the real kernel, and real rules.

use std::process::Command;
use std::time::SystemTime;

use teredo_lab::{Namespace, until};
use teredo_tunnel::Tun;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A path in the kernel in a network namespace of its own, which only rules keep closed.
struct Host {
    namespace: Namespace,
    tun: Tun,
    path: KernelPath,
    watch: Option<RulesWatch>,
}

impl Host {
    fn new(prepare: &[&str]) -> Self {
        let namespace = Namespace::new().expect("the tests need root for network namespaces");
        let load = || {
            let tun = Tun::open(None).unwrap();
            let path = KernelPath::prepare(16, &tun);
            let path = path.expect("a kernel with the features of the path");
            path.attach();
            (tun, path)
        };
        let (tun, path) = namespace.run(load).unwrap();
        path.clear(Obstacle::Port);
        let mut host = Self {
            namespace,
            tun,
            path,
            watch: None,
        };
        for line in prepare {
            host.run(line);
        }
        let start = || RulesWatch::start(&host.path, Datagrams::of(1..=u16::MAX));
        host.watch = Some(host.namespace.run(start).unwrap());
        host
    }

    fn run(&self, line: &str) {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let process = self.namespace.spawn(command.args(words));
        let process =
            process.unwrap_or_else(|error| panic!("{line}: {error}; is its package installed?"));
        assert!({ process }.wait().unwrap().success(), "{line}");
    }

    /// Waits until the path is closed for this reason.
    #[track_caller]
    fn await_closed(&self, reason: &str) {
        let closed = until(PATIENCE, reason, || {
            (self.path.status().reason.as_deref() == Some(reason)).then_some(())
        });
        closed.unwrap_or_else(|error| panic!("{error}: {:?}", self.path.status()));
        assert!(!self.path.status().open);
    }

    /// Waits until the path is open, and returns since when it is.
    #[track_caller]
    fn await_open(&self) -> SystemTime {
        let open = until(PATIENCE, "the path", || {
            self.path.status().open.then_some(())
        });
        open.unwrap_or_else(|error| panic!("{error}: {:?}", self.path.status()));
        self.path.status().since
    }
}

const TABLE: &str = "nft add table inet t";
const CHAIN: &str = "nft add chain inet t way { type filter hook input priority 0 ; }";

#[test]
fn a_rule_that_judges_packets_closes_the_path_and_is_named() {
    let host = Host::new(&[]);
    host.await_open();
    host.run(TABLE);
    host.run(CHAIN);
    host.run("nft add rule inet t way udp dport 3545 limit rate 10/second accept");
    let reason = "the rule with handle 2 in the chain 'inet t way' judges single packets (limit)";
    host.await_closed(reason);
    host.run("nft flush chain inet t way");
    host.await_open();
}

/// The path is closed from the beginning, and does not open before the rules are known.
#[test]
fn a_rule_that_was_there_before_keeps_the_path_closed() {
    let rule = "nft add rule inet t way meta length 100 drop";
    let host = Host::new(&[TABLE, CHAIN, rule]);
    host.await_closed(
        "the rule with handle 2 in the chain 'inet t way' judges single packets (meta length)",
    );
}

/// They need new proofs, and not a closed path.
#[test]
fn rules_that_judge_flows_leave_the_path_open() {
    let host = Host::new(&[TABLE, CHAIN]);
    let since = host.await_open();
    for number in 1..=20 {
        host.run(&format!(
            "nft add rule inet t way ip saddr 192.0.2.{number} drop"
        ));
        assert!(host.path.status().open);
    }
    // The last of them is examined.
    host.run("nft add rule inet t way quota over 9 mbytes drop");
    host.await_closed(
        "the rule with handle 22 in the chain 'inet t way' judges single packets (quota)",
    );
    assert!(host.path.status().since > since);
}

#[test]
fn an_ipsec_policy_closes_the_path() {
    let host = Host::new(&[]);
    host.await_open();
    host.run(
        "ip xfrm policy add src 192.0.2.0/24 dst 0.0.0.0/0 dir in index 8 tmpl mode transport proto esp",
    );
    host.await_closed("the IPsec policy with index 8 (dir in) may concern the datagrams");
    host.run("ip xfrm policy flush");
    host.await_open();
}

#[test]
fn rules_of_iptables_legacy_close_the_path() {
    let host = Host::new(&[]);
    host.await_open();
    host.run("iptables-legacy -A INPUT -m limit -j ACCEPT");
    host.await_closed("iptables-legacy has rules in the table 'filter', which cannot be followed");
    host.run("iptables-legacy -F");
    host.await_open();
}

/// The programs go with the interface, and an interface there may have the index of that to the Internet. Nobody but the
/// watch looks here.
#[test]
fn a_move_of_the_interface_closes_the_path() {
    let host = Host::new(&[]);
    host.await_open();
    let there = Namespace::new().unwrap();
    let sleep = |namespace: &Namespace| {
        namespace
            .spawn(Command::new("sleep").arg("600"))
            .expect("sleep")
    };
    let (mut here_process, mut there_process) = (sleep(&host.namespace), sleep(&there));
    let name = host.tun.name();
    host.run(&format!("ip link set {name} netns {}", there_process.id()));
    host.await_closed("the tunnel's interface is in another network namespace");
    let back = format!("link set {name} netns {}", here_process.id());
    let mut command = Command::new("ip");
    let mut process = there.spawn(command.args(back.split(' '))).unwrap();
    assert!(process.wait().unwrap().success());
    host.await_open();
    for process in [&mut here_process, &mut there_process] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

/// The reverse path filter judges the peers' datagrams, and is no rule.
#[test]
fn a_change_of_the_reverse_path_filter_is_heard() {
    let host = Host::new(&[]);
    host.await_open();
    let mut changes = host
        .namespace
        .run(|| RoutingChanges::open().unwrap())
        .unwrap();
    assert!(!changes.changed().unwrap());
    for value in ["1", "2", "0"] {
        let set = |changes: &mut RoutingChanges| {
            host.namespace
                .set_sysctl("net/ipv4/conf/lo/rp_filter", value)
                .unwrap();
            changes.changed().unwrap()
        };
        assert!(set(&mut changes), "{value}");
    }
}

/// Nothing of it is left, and the path stays closed until another one follows the rules.
#[test]
fn the_end_of_the_watch_closes_the_path() {
    let mut host = Host::new(&[]);
    host.await_open();
    host.watch = None;
    host.await_closed(UNWATCHED);
    let start = || RulesWatch::start(&host.path, Datagrams::of(1..=u16::MAX));
    host.watch = Some(host.namespace.run(start).unwrap());
    host.await_open();
}
