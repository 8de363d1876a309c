//! The machines of the lab, and the processes on them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use teredo_lab::{Host, Internet, Namespace, NatKind, Process};
use teredo_nft::{Batch, Chain, ChainKind, Family, Hook, Netlink, Rule, TableFlags, TableName};

use super::bird::Bird;
use super::plan::{
    CLIENTS_NEIGHBOUR, ETH0, FURTHER_NATIVE, HOME, Kind, NATIVE, NODES, Node, PAIR, RELAY, Router,
    TRUNKS, router_configuration, trunk,
};
use crate::failure::Exit;
use crate::feed::on_end_signal;
use crate::lab::network::spawn;

const START: Duration = Duration::from_secs(10);
/// How often a node is asked; the lab is in a hurry.
pub(super) const EVERY: &str = "0.2";
pub(super) const DRAIN: &str = "1";

/// A host with a relay or a server.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) namespace: Namespace,
    pub(super) service: Option<Process>,
    pub(super) announcer: Option<Process>,
    _bird: Bird,
}

/// Processes and machines, in the order in which they are dropped.
pub(super) struct Network {
    pub(super) machines: Vec<Machine>,
    client: Option<Process>,
    pub(super) core: Bird,
    others: Vec<Bird>,
    _routers: Vec<Namespace>,
    pub(super) alice: Host,
    pub(super) native: Host,
    pub(super) neighbour: Host,
    _further: Host,
    _home: teredo_lab::Home,
    _internet: Internet,
    folder: TempDir,
}

impl Network {
    pub(super) fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("teredo-lab.")
            .tempdir()
            .context("cannot create a folder for the sockets")?;
        let path = folder.path().to_owned();
        on_end_signal(move || {
            // Everything else vanishes with this process.
            let _ = std::fs::remove_dir_all(path);
            std::process::exit(Exit::Failed.code().into());
        })
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
        let internet = Internet::new()?;
        let native = internet.native_host("native", &[], NATIVE)?;
        let further = internet.native_host("native2", &[], FURTHER_NATIVE)?;
        let neighbour = internet.host("neighbour", &[CLIENTS_NEIGHBOUR])?;
        let home = internet.home("home", NatKind::PortRestricted, HOME)?;
        let alice = home.host("alice")?;

        let mut routers = BTreeMap::from([(Router::Core as u8, internet.core().clone())]);
        for router in [Router::East, Router::West] {
            let namespace = Namespace::new()?;
            namespace.set_forwarding()?;
            routers.insert(router as u8, namespace);
        }
        let at = |router: Router| &routers[&(router as u8)];
        for ends in TRUNKS {
            let [near, far] = ends;
            lay(
                (at(near), &Router::interface(far.name())),
                (at(far), &Router::interface(near.name())),
                &trunk(ends),
            )?;
        }
        let mut hosts = Vec::new();
        for node in NODES {
            let namespace = Namespace::new()?;
            let cable = node.cable();
            let interface = Router::interface(node.name);
            lay((at(node.router), &interface), (&namespace, ETH0), &cable)?;
            // Not the link-local one.
            for &(gateway, _) in &cable[0][..2] {
                namespace.set_default_route(ETH0, gateway)?;
            }
            let shared = node.shared().iter().map(|&ip| (ip.into(), 32));
            namespace.set_up("lo", &shared.collect::<Vec<_>>())?;
            if node.kind == Kind::Relay {
                namespace.set_forwarding()?;
            }
            hosts.push((node, namespace));
        }
        let bird = |router: Router| {
            let configuration = router_configuration(router);
            Bird::start(at(router), router.name(), &configuration, folder.path())
        };
        let core = bird(Router::Core)?;
        let others = vec![bird(Router::East)?, bird(Router::West)?];
        let mut machines = Vec::new();
        for (node, namespace) in hosts {
            let bird = Bird::start(&namespace, node.name, &node.configuration(), folder.path())?;
            machines.push(Machine {
                node,
                namespace,
                service: None,
                announcer: None,
                _bird: bird,
            });
        }
        Ok(Self {
            machines,
            client: None,
            core,
            others,
            _routers: routers.into_values().collect(),
            alice,
            native,
            neighbour,
            _further: further,
            _home: home,
            _internet: internet,
            folder,
        })
    }

    /// Whether each BIRD talks to all its neighbours.
    pub(super) fn is_settled(&self) -> anyhow::Result<bool> {
        // The core has its two routers, and each of these two more hosts and the other router.
        let mut is_settled = self.core.is_settled(2)?;
        for router in &self.others {
            is_settled &= router.is_settled(4)?;
        }
        Ok(is_settled)
    }

    fn machine(&mut self, name: &str) -> anyhow::Result<&mut Machine> {
        let mut machines = self.machines.iter_mut();
        let machine = machines.find(|machine| machine.node.name == name);
        machine.with_context(|| format!("there is no host {name}"))
    }

    /// The host of a kind that is at a router.
    pub(super) fn host(&mut self, kind: Kind, router: Router) -> anyhow::Result<&mut Machine> {
        let mut machines = self.machines.iter_mut();
        let machine =
            machines.find(|machine| machine.node.kind == kind && machine.node.router == router);
        machine.context("there is no such host")
    }

    /// Starts the relay or server of a host.
    pub(super) fn start_service(&mut self, name: &str) -> anyhow::Result<()> {
        let socket = self.folder.path().join(format!("{name}.sock"));
        let machine = self.machine(name)?;
        let (words, ready) = match machine.node.kind {
            Kind::Relay => (
                vec![
                    "relay".to_owned(),
                    "--address".to_owned(),
                    RELAY.to_string(),
                ],
                "relaying",
            ),
            Kind::Server => (
                vec![
                    "server".to_owned(),
                    "--address".to_owned(),
                    PAIR[0].to_string(),
                ],
                "serving",
            ),
        };
        let process = spawn_in(&machine.namespace, name, Some(&socket), &words)?;
        process.wait_for_line(ready, START)?;
        machine.service = Some(process);
        Ok(())
    }

    /// Starts what holds its routes.
    pub(super) fn start_announcer(&mut self, name: &str) -> anyhow::Result<()> {
        let machine = self.machine(name)?;
        let mut words: Vec<String> = [
            "announce",
            machine.kind_word(),
            "--every",
            EVERY,
            "--drain",
            DRAIN,
        ]
        .map(str::to_owned)
        .to_vec();
        match machine.node.kind {
            Kind::Relay => {
                let routes = ["2001::/32".to_owned(), format!("{RELAY}/32")];
                words.extend(["--address".to_owned(), RELAY.to_string()]);
                words.extend(
                    routes
                        .into_iter()
                        .flat_map(|route| ["--route".to_owned(), route]),
                );
            }
            Kind::Server => words.extend(["--address".to_owned(), PAIR[0].to_string()]),
        }
        let title = format!("announcer of {name}");
        machine.announcer = Some(spawn_in(&machine.namespace, &title, None, &words)?);
        Ok(())
    }

    pub(super) fn start_client(&mut self) -> anyhow::Result<()> {
        let words = ["client", "--server", &PAIR[0].to_string()].map(str::to_owned);
        let socket = self.client_socket();
        let process = spawn(&self.alice, "alice's client", Some(&socket), &words)?;
        self.client = Some(process);
        Ok(())
    }

    pub(super) fn client_socket(&self) -> std::path::PathBuf {
        self.folder.path().join("alice.sock")
    }
}

impl Machine {
    const fn kind_word(&self) -> &'static str {
        match self.node.kind {
            Kind::Relay => "relay",
            Kind::Server => "server",
        }
    }

    /// Its announcer.
    pub(super) fn announced(&self) -> anyhow::Result<&Process> {
        self.announcer.as_ref().context("there is no announcer")
    }

    /// Cuts the host off without a sign to its neighbours: the cable stays, and nothing comes or goes.
    pub(super) fn cut_off(&self) -> anyhow::Result<()> {
        let table = silence();
        let mut batch = Batch::new();
        batch.add_table(&table, TableFlags::default());
        let (from, to) = (Rule::new().iifname(ETH0), Rule::new().oifname(ETH0));
        for (name, hook, rule) in [
            ("prerouting", Hook::Prerouting, from),
            ("postrouting", Hook::Postrouting, to),
        ] {
            let chain = Chain::base(name, ChainKind::Filter, hook, -300);
            batch.add_chain(&table, &chain);
            batch.add_rule(&table, name, rule.drop());
        }
        self.namespace.run(|| Netlink::open()?.execute(&batch))??;
        Ok(())
    }

    pub(super) fn mend(&self) -> anyhow::Result<()> {
        let mut batch = Batch::new();
        batch.delete_table(&silence());
        self.namespace.run(|| Netlink::open()?.execute(&batch))??;
        Ok(())
    }
}

fn silence() -> TableName {
    TableName::new(Family::Inet, "silence")
}

/// Connects two machines, and waits until the cable carries traffic.
fn lay(
    near: (&Namespace, &str),
    far: (&Namespace, &str),
    addresses: &super::plan::Ends,
) -> anyhow::Result<()> {
    near.0.connect(near.1, far.0, far.1)?;
    near.0.set_up(near.1, &addresses[0])?;
    far.0.set_up(far.1, &addresses[1])?;
    near.0.wait_until_up(near.1, &addresses[0])?;
    far.0.wait_until_up(far.1, &addresses[1])?;
    Ok(())
}

fn spawn_in(
    namespace: &Namespace,
    name: &str,
    socket: Option<&Path>,
    words: &[String],
) -> anyhow::Result<Process> {
    let mut command = crate::lab::network::command(socket, words)?;
    Ok(Process::spawn(namespace, name, &mut command)?)
}
