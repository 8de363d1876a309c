//! A cluster of three servers, and the perimeter, in one network namespace.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;
use teredo_lab::{Namespace, Process};
use teredo_nft::{Batch, Family, KeyType, Netlink, Set, TableFlags, TableName};

/// The clients' ports of the servers; the routes between them are 2000 above.
const PORTS: [u16; 3] = [4222, 4223, 4224];

/// How long a part may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// The set of the perimeter.
const SET: &str = "teredo_hosts";

/// Three servers and a perimeter; they end with the value.
pub(crate) struct Cluster {
    pub(crate) perimeter: Process,
    pub(crate) servers: Vec<Process>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts them, and waits until the perimeter follows.
    pub(crate) fn start(namespace: &Namespace, program: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("teredo-fleet.").tempdir()?;
        let routes = PORTS
            .map(|port| format!("nats://127.0.0.1:{}", port + 2000))
            .join(",");
        let mut servers = Vec::new();
        for port in PORTS {
            let config = format!(
                "listen: \"127.0.0.1:{port}\"\n\
                 server_name: \"s{port}\"\n\
                 jetstream {{ store_dir: \"{}\", max_memory_store: 1GB, max_file_store: 2GB }}\n\
                 cluster {{ name: fleet, listen: \"127.0.0.1:{}\", routes: [{routes}] }}\n",
                folder.path().join(port.to_string()).display(),
                port + 2000,
            );
            let file = folder.path().join(format!("{port}.conf"));
            std::fs::write(&file, config)?;
            let mut command = Command::new("nats-server");
            let server = Process::spawn(namespace, "nats-server", command.arg("-c").arg(&file));
            servers.push(server.context("cannot start nats-server: apt-get install nats-server")?);
        }
        for server in &servers {
            server.wait_for_line("Server is ready", PATIENCE)?;
        }
        let mut netlink = Netlink::open()?;
        let table = TableName::new(Family::Inet, "filter");
        let mut batch = Batch::new();
        // Empty, and without the elements of the round before.
        batch.add_table(&table, TableFlags::default());
        batch.delete_table(&table);
        batch.add_table(&table, TableFlags::default());
        let key = KeyType::IPV4_ADDR.then(KeyType::INET_SERVICE);
        batch.add_set(&table, &Set::new(SET, key).with_timeouts());
        netlink.execute(&batch)?;
        let mut command = Command::new(program);
        command.args([
            "--config",
            "/dev/null",
            "firewall",
            "--fleet",
            &urls(),
            "--name",
            "fw",
        ]);
        command.args(["--set", &format!("inet filter {SET}"), "--socket"]);
        command.arg(folder.path().join("perimeter.sock"));
        let perimeter = Process::spawn(namespace, "perimeter", &mut command)?;
        perimeter.wait_for_line("follows the bucket", PATIENCE)?;
        Ok(Self {
            perimeter,
            servers,
            _folder: folder,
        })
    }

    /// A connection of its own to the cluster.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let options =
            async_nats::ConnectOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let urls: Vec<_> = PORTS.map(|port| format!("nats://127.0.0.1:{port}")).into();
        Ok(options.connect(urls).await?)
    }

    /// Creates the bucket, once the servers have agreed who leads.
    pub(crate) async fn create_bucket(&self, lease: Duration) -> Result<()> {
        let client = self.connect().await?;
        let began = std::time::Instant::now();
        loop {
            match teredo_fleet::create_bucket(&client, lease).await {
                Err(error) if began.elapsed() > PATIENCE * 2 => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Whether the kernel's set holds an endpoint.
    pub(crate) fn holds(&self, endpoint: SocketAddrV4) -> Result<bool> {
        let table = TableName::new(Family::Inet, "filter");
        let elements = Netlink::open()?.elements(&table, SET)?.unwrap_or_default();
        let address = endpoint.ip().octets();
        let key = [&address[..], &endpoint.port().to_be_bytes()].concat();
        Ok(elements.iter().any(|element| element.key.starts_with(&key)))
    }

    /// The elements in the kernel's set.
    pub(crate) fn elements(&self) -> Result<usize> {
        let table = TableName::new(Family::Inet, "filter");
        let elements = Netlink::open()?.elements(&table, SET)?;
        Ok(elements.map_or(0, |elements| elements.len()))
    }
}

fn urls() -> String {
    PORTS
        .map(|port| format!("nats://127.0.0.1:{port}"))
        .join(",")
}
