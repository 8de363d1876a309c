//! A NATS server with TLS and the account that `teredo publish nats-config` wrote, a host, and a perimeter.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use teredo_lab::{Host, Process};

use crate::world::*;

/// Of the servers.
pub(super) const NATS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
const PERIMETER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 60);
const ALICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 70);

/// The administrator's set at the perimeter.
pub(crate) const SET: &str = "inet filter teredo_hosts";

pub(crate) const RULESET: &str =
    "table inet filter { set teredo_hosts { type ipv4_addr . inet_service; flags timeout; }; }";

/// The world of one test.
pub(crate) struct Fleet {
    pub(crate) server: Process,
    pub(crate) alice: Host,
    pub(crate) perimeter: Host,
    pub(super) nats: Host,
    _teredo_server: Process,
    pub(crate) world: World,
}

impl Fleet {
    /// A server whose account has these hosts, the perimeter `fw` and the reader `shop`.
    pub(crate) fn start(hosts: &[&str]) -> Self {
        let (world, teredo_server) = World::with_server();
        let nats = world.internet.host("nats", &[NATS]).unwrap();
        let perimeter = world.internet.host("fw", &[PERIMETER]).unwrap();
        let alice = world.internet.host("alice", &[ALICE]).unwrap();
        nft(&perimeter, RULESET);
        let folder = world.path("nats");
        let mut account = teredo();
        account
            .args([
                "publish",
                "nats-config",
                "--perimeter",
                "fw",
                "--reader",
                "shop",
                "--dir",
            ])
            .arg(&folder);
        account.args(hosts.iter().flat_map(|host| ["--host", host]));
        let output = run(&nats, &mut account);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        authorize(&nats, &folder, "ca");
        certify(&nats, &folder);
        let show = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "listen: \"0.0.0.0:4222\"\n\
             jetstream {{ store_dir: \"{}\", max_memory_store: 256MB, max_file_store: 1GB }}\n\
             tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n\
             include \"teredo-fleet.conf\"\n",
            show("store"),
            show("server.pem"),
            show("server.key"),
        );
        std::fs::write(folder.join("nats-server.conf"), config).unwrap();
        Self {
            server: serve(&nats, &folder),
            alice,
            perimeter,
            nats,
            _teredo_server: teredo_server,
            world,
        }
    }

    /// Replaces a part of the account, with the server that reads it.
    pub(super) fn change_account(&mut self, part: &str, other: &str) {
        let path = self.file("teredo-fleet.conf");
        let account = std::fs::read_to_string(&path).unwrap();
        assert!(account.contains(part), "{part} in {account}");
        std::fs::write(&path, account.replace(part, other)).unwrap();
        self.server.kill().unwrap();
        self.restart_server();
    }

    pub(crate) fn restart_server(&mut self) {
        self.server = serve(&self.nats, &self.world.path("nats"));
    }

    /// The path of a file of the account.
    pub(super) fn file(&self, name: &str) -> String {
        self.world.path("nats").join(name).display().to_string()
    }

    /// Starts the firewall at the perimeter.
    pub(crate) fn firewall(&self, more: &[&str]) -> Process {
        self.firewall_named("fw", more)
    }

    /// The same by a name that its key may not have.
    pub(super) fn firewall_named(&self, name: &str, more: &[&str]) -> Process {
        let socket = self.world.path("perimeter.sock").display().to_string();
        let (creds, ca) = (self.file("fw.nk"), self.file("ca.pem"));
        let url = format!("tls://{NATS}");
        let fixed = [
            "firewall", "--fleet", &url, "--set", SET, "--name", name, "--socket", &socket,
        ];
        let rights = ["--creds", &creds, "--ca", &ca];
        start(&self.perimeter, "fw", &[&fixed[..], &rights, more].concat())
    }

    /// Starts the publisher of the client on `host`, with the key and the credentials of `name`.
    pub(crate) fn publish(&self, host: &Host, name: &str, more: &[&str]) -> Process {
        self.publish_as(host, name, name, more)
    }

    /// The same with the credentials of `user` and the key of `name`.
    pub(crate) fn publish_as(&self, host: &Host, user: &str, name: &str, more: &[&str]) -> Process {
        let socket = self
            .world
            .path(&format!("{}.sock", host.name()))
            .display()
            .to_string();
        let (creds, ca) = (self.file(&format!("{user}.nk")), self.file("ca.pem"));
        let url = format!("tls://{NATS}");
        let fixed = [
            "publish", "--nats", &url, "--host", name, "--socket", &socket,
        ];
        let rights = ["--creds", &creds, "--ca", &ca];
        start(host, "publisher", &[&fixed[..], &rights, more].concat())
    }

    /// The status of the perimeter, by `teredo status`.
    pub(crate) fn perimeter_status(&self) -> Value {
        let socket = self.world.path("perimeter.sock");
        let output = run(
            &self.perimeter,
            teredo().args(["status", "--json", "--socket"]).arg(&socket),
        );
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Sends one request with the key of `user`, by a client in Python that knows nothing but the protocol. Returns the
    /// answer or the error of the server.
    pub(crate) fn say(&self, host: &Host, user: &str, subject: &str, payload: &str) -> String {
        self.talk(host, user, &["ask", subject, payload])
    }

    /// Writes the key of `user`, and lets the server answer to this subject.
    pub(crate) fn reply(&self, host: &Host, user: &str, to: &str) -> String {
        self.talk(
            host,
            user,
            &["reply", &format!("$KV.teredo_ports.{user}"), to],
        )
    }

    /// Sends a request with the key of `user`, `{}` below this header, which may have escapes such as `\r`. Returns the answer.
    pub(crate) fn say_below(&self, host: &Host, user: &str, subject: &str, header: &str) -> String {
        self.talk(host, user, &["header", subject, header])
    }

    /// The same without waiting for an answer.
    pub(crate) fn tell_below(&self, host: &Host, user: &str, subject: &str, header: &str) {
        let answer = self.talk(host, user, &["tell", subject, header]);
        assert_eq!(answer, "");
    }

    /// Writes the key of `user` so often, as fast as it can.
    pub(crate) fn flood(&self, host: &Host, user: &str, times: u32) {
        let answer = self.talk(
            host,
            user,
            &[
                "flood",
                &format!("$KV.teredo_ports.{user}"),
                &times.to_string(),
            ],
        );
        assert!(answer.contains("sent"), "{answer}");
    }

    /// Asks the perimeters with 2,400 header names each time, for three seconds and as fast as it can.
    pub(crate) fn flood_names(&self, host: &Host, user: &str) {
        let answer = self.talk(host, user, &["names", &format!("teredo.ask.{user}"), "3"]);
        assert!(answer.contains("sent"), "{answer}");
    }

    fn talk(&self, host: &Host, user: &str, words: &[&str]) -> String {
        let mut python = Command::new("python3");
        python
            .arg("-c")
            .arg(CLIENT)
            .args([&NATS.to_string(), &self.file("ca.pem"), user]);
        python.arg(self.file(&format!("{user}.nk"))).args(words);
        let output = run(host, &mut python);
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }
}

/// It signs the server's nonce with openssl, whose Ed25519 key is a prefix and the seed.
const CLIENT: &str = include_str!("client.py");

fn serve(nats: &Host, folder: &Path) -> Process {
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(folder.join("nats-server.conf"));
    let server = Process::spawn(nats.namespace(), "nats-server", &mut command)
        .unwrap_or_else(|error| panic!("nats-server: {error} (package nats-server)"));
    server
        .wait_for_line("Server is ready", SECOND * 10)
        .unwrap();
    server
}

/// An authority: `NAME.pem` and `NAME.key`.
pub(super) fn authorize(host: &Host, folder: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let subject = format!("/CN={name}");
    let words = ["-keyout", &key, "-out", &certificate, "-subj", &subject];
    openssl(host, folder, &words);
}

/// The server's certificate, for its address alone.
fn certify(host: &Host, folder: &Path) {
    let name = format!("subjectAltName=IP:{NATS}");
    let words =
        "-CA ca.pem -CAkey ca.key -keyout server.key -out server.pem -subj /CN=nats -addext";
    let mut words: Vec<_> = words.split(' ').collect();
    words.extend([&name, "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl(host, folder, &words);
}

fn openssl(host: &Host, folder: &Path, words: &[&str]) {
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let mut command = Command::new("openssl");
    command
        .args(key.split(' '))
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null());
    let output = run(host, &mut command);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The elements of the set, as `nft` has them.
pub(crate) fn elements(host: &Host) -> Vec<Value> {
    let Some(listing) = nft_json(host, &format!("set {SET}")) else {
        return Vec::new();
    };
    let items = listing["nftables"].as_array().unwrap();
    let elements = items
        .iter()
        .find_map(|item| item["set"]["elem"].as_array().cloned());
    elements.unwrap_or_default()
}

/// The open endpoints, in order: `ADDRESS:PORT`.
pub(crate) fn endpoints(host: &Host) -> Vec<String> {
    let elements = elements(host);
    let texts = elements.iter().map(|element| {
        let value = element
            .get("elem")
            .map_or(element, |element| &element["val"]);
        let parts = &value["concat"];
        format!("{}:{}", parts[0].as_str().unwrap(), parts[1])
    });
    let mut texts: Vec<_> = texts.collect();
    texts.sort();
    texts
}
