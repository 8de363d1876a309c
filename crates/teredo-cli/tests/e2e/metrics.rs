//! The metrics of every role: the text, the place over HTTP, and a real Prometheus that scrapes them, draws the
//! dashboard's queries and fires an alert.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use teredo_lab::{Host, NatKind, Process};

use crate::configured::Configured;
use crate::world::*;

/// The folder of what the packages install for Prometheus and Grafana.
const PACKAGED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/metrics");
/// The folder of this test's own files.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/metrics");

const RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
/// Prometheus' own address.
const PROMETHEUS: &str = "http://127.0.0.1:9090";

/// An answer over HTTP, and its head.
fn get(host: &Host, address: &str) -> Option<(String, String)> {
    let address: SocketAddr = address.parse().unwrap();
    let said = host.namespace().run(|| {
        let mut stream = TcpStream::connect_timeout(&address, SECOND * 5).ok()?;
        stream.set_read_timeout(Some(SECOND * 5)).ok()?;
        let asked =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    });
    let said = said.unwrap()?;
    let (head, text) = said.split_once("\r\n\r\n")?;
    Some((head.to_owned(), text.to_owned()))
}

/// The metrics at an address of `host`, or elsewhere.
#[track_caller]
pub(crate) fn scrape(host: &Host, address: &str) -> String {
    let (head, text) = get(host, address).unwrap_or_else(|| panic!("nothing at {address}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    text
}

/// The value of a sample, by its name and labels.
pub(crate) fn sample(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn run_with_input(command: &mut Command, package: &str, input: &str) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program}: {error} (package {package})"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Judges a text: by the reference's parser of OpenMetrics, then by Prometheus' own linter.
#[track_caller]
pub(crate) fn assert_well_formed_metrics(text: &str) {
    // The one that sees the packages of Debian.
    let mut parser = Command::new("/usr/bin/python3");
    parser.arg(Path::new(OWN).join("parse.py"));
    let parsed = run_with_input(&mut parser, "python3", text);
    let complaints = String::from_utf8_lossy(&parsed.stderr).into_owned();
    assert!(
        parsed.status.success(),
        "{complaints} (package python3-prometheus-client) in {text}"
    );
    let old = String::from_utf8(parsed.stdout).unwrap();
    let mut promtool = Command::new("promtool");
    let judged = run_with_input(promtool.args(["check", "metrics"]), "prometheus", &old);
    let complaints = String::from_utf8_lossy(&judged.stderr).into_owned();
    assert!(
        judged.status.success() && complaints.is_empty(),
        "{complaints} in {old}"
    );
}

/// A world with all roles, and what they serve.
struct Roles {
    alice: Host,
    client: Client,
    agent: Process,
    // Last, so that hosts and daemons go first.
    _relay: (Host, Client),
    _server: Process,
    world: World,
}

/// Of two clients, which are not here.
const SECRETS: &str =
    "a:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=\nb:YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoK\n";

/// As Alice reaches them.
const CLIENT_AT: &str = "127.0.0.1:9545";
const AGENT_AT: &str = "127.0.0.1:9546";
const SERVER_AT: &str = "192.0.2.45:9545";
const RELAY_AT: &str = "198.51.100.77:9545";

impl Roles {
    fn start() -> Self {
        let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
        let secrets = world.path("secrets");
        fs::write(&secrets, SECRETS).unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let server = start(
            &world.server,
            "server",
            &[
                &["server", "--address", "192.0.2.45", "--metrics", SERVER_AT][..],
                &["--allow-plain", "--secret-file", secrets.to_str().unwrap()],
            ]
            .concat(),
        );
        server.wait_for_line("serving", SECOND * 5).unwrap();
        let relay_host = world.relay_host(RELAY);
        let relay = world.relay(&relay_host, &["--metrics", RELAY_AT]);
        let alice = world.left.host("alice").unwrap();
        let client = world.client(&alice, &["--metrics", "9545"]);
        let agent = world.agent(&alice, &["--metrics", "9546"]);
        let roles = Self {
            alice,
            client,
            agent,
            _relay: (relay_host, relay),
            _server: server,
            world,
        };
        roles.client.until(SECOND * 10, "a firewall", |status| {
            let in_sync = status.firewall.iter().any(|gate| gate.in_sync);
            in_sync && status.port != 0 && status.mapped.is_some()
        });
        roles
    }
}

/// Every role has its metrics, and they tell what happened.
#[test]
fn every_role_tells_what_it_does() {
    let roles = Roles::start();
    let alice = &roles.alice;
    roles.client.connect().rebind(Some(40_007)).unwrap();
    let status = roles.client.until(QUALIFICATION, "the new port", |status| {
        status.mapped.is_some() && status.firewall.iter().all(|gate| gate.in_sync)
    });

    let text = scrape(alice, CLIENT_AT);
    assert_well_formed_metrics(&text);
    for (name, value) in [
        ("teredo_state{state=\"qualified\"}", 1.0),
        ("teredo_protected", 1.0),
        ("teredo_problems", 0.0),
        ("teredo_local_port", 40_007.0),
        (
            "teredo_mapped_port",
            f64::from(status.mapped.unwrap().port()),
        ),
        ("teredo_port_changes_total{kind=\"add\"}", 1.0),
        ("teredo_port_changes_total{kind=\"change\"}", 1.0),
        ("teredo_gates{state=\"in_sync\"}", 1.0),
        ("teredo_gates{state=\"behind\"}", 0.0),
        ("teredo_subscribers", 1.0),
        ("teredo_firewall_departed", 0.0),
        ("teredo_drops_total{reason=\"malformed\"}", 0.0),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name} in {text}");
    }
    assert!(sample(&text, "teredo_gate_settle_seconds").unwrap() < 0.25);
    assert!(sample(&text, "teredo_udp_datagrams_total{direction=\"tx\"}").unwrap() >= 2.0);

    let text = scrape(alice, AGENT_AT);
    assert_well_formed_metrics(&text);
    for (name, value) in [
        ("teredo_fw_in_step", 1.0),
        ("teredo_fw_trouble", 0.0),
        ("teredo_fw_port", 40_007.0),
        ("teredo_fw_leases", 1.0),
        ("teredo_fw_lease_seconds", 15.0),
        ("teredo_fw_resyncs_total{cause=\"start\"}", 1.0),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name} in {text}");
    }
    assert!(sample(&text, "teredo_fw_confirmation_age_seconds").unwrap() < 15.0);

    let text = scrape(alice, SERVER_AT);
    assert_well_formed_metrics(&text);
    assert_eq!(sample(&text, "teredo_server_known_clients"), Some(2.0));
    // This network has no IPv6.
    assert_eq!(sample(&text, "teredo_limited"), Some(1.0));
    let answered = sample(&text, "teredo_server_replies_total{kind=\"advertisement\"}");
    assert!(answered.unwrap() >= 2.0, "{text}");

    let text = scrape(alice, RELAY_AT);
    assert_well_formed_metrics(&text);
    assert_eq!(sample(&text, "teredo_local_port"), Some(3545.0));
    assert!(sample(&text, "teredo_peers_limit").unwrap() >= 1_000_000.0);

    // The program prints the same, by the socket.
    let mut command = teredo();
    command.arg("--socket").arg(&roles.client.socket);
    let printed = run(alice, command.arg("metrics"));
    assert_eq!(printed.status.code(), Some(0));
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_well_formed_metrics(&printed);
    let names = |text: &str| {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| line.rsplit_once(' '));
        names.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&printed), names(&scrape(alice, CLIENT_AT)));
}

/// Another program has the port: the daemon says so and does not start. A second daemon's mistake is found in this way.
#[test]
fn a_taken_port_is_a_failure_at_the_start() {
    let (world, _server) = World::with_server();
    let alice = world.left.host("alice").unwrap();
    let client = world.client(&alice, &["--metrics", "9545"]);
    client.qualified();
    for arguments in [
        &["firewall", "--metrics", "9545"][..],
        &[
            "relay",
            "--host",
            "--interface",
            "other",
            "--metrics",
            "127.0.0.1:9545",
        ],
        &[
            "client",
            "--server",
            "192.0.2.45",
            "--interface",
            "other",
            "--metrics",
            "9545",
        ],
        &[
            "server",
            "--address",
            "192.168.1.2",
            "--allow-private",
            "--metrics",
            "9545",
        ],
    ] {
        let socket = world.path("second.sock");
        let output = run(&alice, teredo().arg("--socket").arg(socket).args(arguments));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("cannot serve metrics at 127.0.0.1:9545"),
            "{said}"
        );
        assert!(said.contains("ss -ltnp sport = :9545"), "{said}");
    }
    assert!(get(&alice, CLIENT_AT).is_some(), "the first one serves on");
}

/// SIGHUP moves the metrics of each role and nothing else. Where they cannot go, nothing changes.
#[test]
fn a_reload_moves_them() {
    let world = World::new(NatKind::PortRestricted, NatKind::PortRestricted);
    let alice = world.left.host("alice").unwrap();
    let relay_host = world.relay_host(RELAY);
    for (host, role, rest) in [
        (&world.server, "server", "address = '192.0.2.45'\n"),
        (&relay_host, "relay", "address = '198.51.100.77'\n"),
        (&alice, "client", "servers = ['192.0.2.45']\n"),
        (&alice, "firewall", ""),
    ] {
        let settings = |metrics: &str| format!("[{role}]\n{rest}{metrics}\n");
        let followed = if role == "firewall" { "client" } else { role };
        let socket = world.path(&format!("{followed}.sock"));
        let socket = ["--socket", socket.to_str().unwrap()];
        let first = settings("metrics = 9600");
        let daemon = Configured::start(&world, host, role, &first, &socket);
        let at = |port: u16| format!("127.0.0.1:{port}");
        let reachable = |port: u16| {
            eventually(SECOND * 10, role, || get(host, &at(port)).is_some());
            scrape(host, &at(port))
        };
        let before = reachable(9600);
        let daemon_mark = daemon.process.mark();
        daemon.reload(&settings("metrics = '127.0.0.1:9601'"), "settings reloaded");
        let after = reachable(9601);
        assert!(
            get(host, &at(9600)).is_none(),
            "{role} listens where it was"
        );
        let uptime = |text: &str| sample(text, "teredo_uptime_seconds").unwrap();
        assert!(uptime(&after) >= uptime(&before), "{role} is another one");

        // Nothing changes, if one of the settings is wrong.
        let taken = host
            .namespace()
            .run(|| std::net::TcpListener::bind("127.0.0.1:9602"));
        let taken = taken.unwrap().unwrap();
        daemon.reload(
            &settings("metrics = 9602"),
            "cannot serve metrics at 127.0.0.1:9602",
        );
        drop(taken);
        daemon.reload(&settings("metrics = 9603\nnonsense = 1"), "unknown key");
        reachable(9601);
        daemon.reload(&settings("metrics = 9601"), "no setting has changed");
        daemon.reload(&settings(""), "settings reloaded");
        assert!(get(host, &at(9601)).is_none(), "{role} listens on");
        daemon.reload(&settings("metrics = 9604"), "settings reloaded");
        reachable(9604);
        let said = daemon.process.lines().split_off(daemon_mark);
        let started = said.iter().any(|line| {
            ["serving on", "relaying on", "follows the port of"]
                .iter()
                .any(|words| line.contains(words))
        });
        assert!(!started, "{role}: {said:#?}");
        daemon.process.terminate(SECOND * 5).unwrap();
    }
    // Its sandbox has no sockets of IPv4 and IPv6, unless it starts with metrics.
    let agent = Configured::start(&world, &alice, "firewall", "[firewall]\n", &[]);
    agent.process.wait_for_line("follows", SECOND * 5).unwrap();
    agent.reload("[firewall]\nmetrics = 9600\n", "not reloaded");
    assert!(get(&alice, "127.0.0.1:9600").is_none());
    agent.process.terminate(SECOND * 5).unwrap();
}

/// Runs promtool in a folder that has the alerts and their cases.
#[track_caller]
fn promtool(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (from, name) in [(PACKAGED, "teredo.rules.yml"), (OWN, "alerts.test.yml")] {
        fs::copy(Path::new(from).join(name), folder.path().join(name)).unwrap();
    }
    let mut command = Command::new("promtool");
    let output = command.args(arguments).current_dir(folder.path()).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error} (package prometheus)"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn each_alert_fires_in_its_case() {
    let checked = promtool(&["check", "rules", "teredo.rules.yml"]);
    assert!(checked.contains("SUCCESS: 13 rules found"), "{checked}");
    promtool(&["test", "rules", "alerts.test.yml"]);
    // Each has a case.
    let rules = fs::read_to_string(Path::new(PACKAGED).join("teredo.rules.yml")).unwrap();
    let cases = fs::read_to_string(Path::new(OWN).join("alerts.test.yml")).unwrap();
    for alert in rules
        .lines()
        .filter_map(|line| line.split_once("- alert: "))
    {
        let (_, name) = alert;
        let case = format!("- alertname: {name}\n");
        assert!(
            cases.contains(&case),
            "{name} has no case in which it fires"
        );
    }
}

/// A query to Prometheus: the value of each series, by its labels.
#[track_caller]
fn query(host: &Host, expression: &str) -> Vec<Value> {
    let mut command = Command::new("promtool");
    command.args([
        "query",
        "instant",
        "--format=json",
        "--",
        PROMETHEUS,
        expression,
    ]);
    let output = run(host, &mut command);
    assert!(
        output.status.success(),
        "{expression}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let values: Value = serde_json::from_slice(&output.stdout).unwrap();
    values.as_array().cloned().unwrap_or_default()
}

/// The first value of a query.
fn value(host: &Host, expression: &str) -> Option<f64> {
    query(host, expression).first()?["value"][1]
        .as_str()?
        .parse()
        .ok()
}

fn start_prometheus(roles: &Roles) -> Process {
    let rules = roles.world.path("teredo.rules.yml");
    fs::write(&rules, impatient(&packaged_rules())).unwrap();
    let job = |role: &str, at: &str| {
        format!("  - job_name: teredo-{role}\n    static_configs: [{{ targets: ['{at}'] }}]\n")
    };
    let jobs = [
        job("client", CLIENT_AT),
        job("firewall", AGENT_AT),
        job("server", SERVER_AT),
        job("relay", RELAY_AT),
    ];
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\nscrape_configs:\n{}",
        rules.display(),
        jobs.concat()
    );
    let file = roles.world.path("prometheus.yml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            roles.world.path("tsdb").display()
        ))
        .args(["--web.listen-address=127.0.0.1:9090", "--log.level=warn"]);
    Process::spawn(roles.alice.namespace(), "prometheus", &mut command)
        .unwrap_or_else(|error| panic!("prometheus: {error} (package prometheus)"))
}

/// How the names of a perimeter's metrics begin.
const FLEET: &str = "teredo_fleet_";

/// The metrics of a perimeter that the alerts look at.
pub(crate) fn watched_at_a_perimeter() -> Vec<String> {
    let rules = packaged_rules();
    let watched = names(&rules).map(|name| name.to_string());
    watched.filter(|name| name.starts_with(FLEET)).collect()
}

fn packaged_rules() -> String {
    fs::read_to_string(Path::new(PACKAGED).join("teredo.rules.yml")).unwrap()
}

/// The alerts, each two seconds after its reason. How long it waits in truth is what promtool is asked.
fn impatient(rules: &str) -> String {
    let line = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 2s\n"),
        _ => format!("{line}\n"),
    };
    rules.lines().map(line).collect()
}

/// Every expression of the dashboard, with its variables filled in.
fn dashboard_queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(expression) = members.get("expr").and_then(Value::as_str) {
                    found.push(expression.to_owned());
                }
                members.values().for_each(|value| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let text = fs::read(Path::new(PACKAGED).join("teredo-dashboard.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_slice(&text).unwrap(), &mut found);
    let filled = found.iter().map(|expression| {
        expression
            .replace("$__rate_interval", "1m")
            .replace("$job", ".*")
            .replace("$instance", ".*")
    });
    let filled: Vec<_> = filled.collect();
    assert!(filled.iter().all(|expression| !expression.contains('$')));
    filled
}

/// The names of metrics in an expression.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("teredo_"))
}

/// A real Prometheus scrapes all roles. The dashboard and the alerts ask for metrics that exist, and an alert fires when
/// the agent is killed.
#[test]
fn prometheus_scrapes_all_roles_and_an_alert_fires() {
    let mut roles = Roles::start();
    let _prometheus = start_prometheus(&roles);
    let alice = &roles.alice;
    let started = || get(alice, "127.0.0.1:9090").is_some();
    eventually(SECOND * 60, "Prometheus", started);
    eventually(SECOND * 60, "four targets", || {
        value(alice, "count(up == 1)") == Some(4.0)
    });
    // By the strict parser: the older one takes no information about units.
    let units = value(alice, "scrape_samples_scraped{job='teredo-client'}");
    assert!(units.unwrap() > 50.0, "{units:?}");
    let roles_seen = query(alice, "teredo_build_info");
    assert_eq!(roles_seen.len(), 4, "{roles_seen:?}");

    let queries = dashboard_queries();
    assert!(queries.len() > 30);
    let rules = packaged_rules();
    // A rate needs two samples.
    let rate = "rate(teredo_udp_bytes_total[1m])";
    eventually(SECOND * 30, "a rate", || !query(alice, rate).is_empty());
    for expression in &queries {
        query(alice, expression);
    }
    for name in queries
        .iter()
        .flat_map(|text| names(text))
        .chain(names(&rules))
        // No perimeter is here: the fleet has a test for those.
        .filter(|name| !name.starts_with(FLEET))
    {
        let found = query(alice, &format!("{{__name__=\"{name}\"}}"));
        assert!(!found.is_empty(), "no role has {name}");
    }

    let firing = |alert: &str| {
        let query = format!("ALERTS{{alertname='{alert}',alertstate='firing'}}");
        value(alice, &query).is_some()
    };
    assert!(!firing("TeredoFirewallAgentGone"));
    roles.agent.kill().unwrap();
    eventually(SECOND * 90, "an alert that the agent is gone", || {
        firing("TeredoFirewallAgentGone")
    });
    eventually(SECOND * 90, "an alert that nothing answers", || {
        firing("TeredoDown")
    });
    // Another agent follows the port, and all is well again.
    roles.agent = roles.world.agent(alice, &["--metrics", "9546"]);
    eventually(SECOND * 60, "the end of both alerts", || {
        !firing("TeredoFirewallAgentGone") && !firing("TeredoDown")
    });
}
