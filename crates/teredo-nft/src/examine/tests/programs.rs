//! The usual rules of other firewall programs.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::*;

/// Debian's ufw with files of its own, after these lines.
fn ufw(lines: &'static str) -> Option<String> {
    found(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("applications.d")).unwrap();
        let files = fs::read_dir("/usr/share/ufw/iptables").expect("the package ufw");
        for file in files {
            let file = file.unwrap();
            fs::copy(file.path(), path.join(file.file_name())).unwrap();
        }
        fs::write(path.join("ufw.conf"), "ENABLED=no\nLOGLEVEL=low\n").unwrap();
        fs::write(path.join("sysctl.conf"), "").unwrap();
        // `ufw default` writes here.
        let default = tempfile::tempdir().unwrap();
        fs::copy("/etc/default/ufw", default.path().join("ufw")).expect("the package ufw");
        let script = format!(
            "mount --bind {} /etc/ufw && mount --bind {} /etc/default && ufw --force enable && {lines}",
            path.display(),
            default.path().display()
        );
        let mut command = Command::new("unshare");
        let output = command
            .args(["--mount", "sh", "-c", &script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    })
}

/// It limits its logging, and newcomers; neither of them judges the packets of a flow.
#[test]
fn the_rules_of_ufw_are_no_obstacle() {
    for lines in [
        "true",
        "ufw logging full",
        "ufw allow 40000/udp && ufw deny from 192.0.2.1",
        "ufw limit ssh",
        "ufw limit 40000/udp",
        "ufw default deny outgoing && ufw allow out 53",
    ] {
        assert_eq!(ufw(lines), None, "{lines}");
    }
}

/// Those of version 28 with a published port and a swarm's ingress, by `iptables-nft`.
const DOCKER: &str = "*raw
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -m statistic --mode random --probability 0.5 -j ACCEPT
-A DOCKER ! -i docker0 -p udp -m udp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-INGRESS - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -j DOCKER-INGRESS
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-INGRESS -p udp -m udp --dport 8080 -j ACCEPT
-A DOCKER-INGRESS -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -m limit --limit 5/sec -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
";

#[test]
fn the_rules_of_docker_are_no_obstacle() {
    let reason = found(|| {
        let mut command = Command::new("iptables-nft-restore");
        let mut restore = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the package iptables");
        let mut input = restore.stdin.take().unwrap();
        input.write_all(DOCKER.as_bytes()).unwrap();
        drop(input);
        assert!(restore.wait().unwrap().success());
    });
    assert_eq!(reason, None);
}
