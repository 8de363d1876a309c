//! The settings that the doctor judges: those of the files, and over them the options of the daemons that run.

use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::seen::{Process, Roles, Settings};
use crate::args::{Cli, ClientArgs, Command, DEFAULT_CONFIG, FirewallArgs, RelayArgs, ServerArgs};
use crate::config::{self, Config, FirewallSection};
use crate::settings::{
    ClientSettings, FirewallSettings, RelaySettings, ServerSettings, ServerSocket, serves,
};

impl Settings {
    /// The settings of the files.
    pub(super) fn read(chosen: Option<&Path>, socket: &Path) -> Self {
        let examined = config::examine(chosen);
        let files = examined.config;
        let Config {
            client,
            server,
            relay,
            firewall,
        } = files.clone();
        let has = Roles {
            client: client.places.first().is_some(),
            server: server.places.first().is_some(),
            relay: relay.places.first().is_some(),
            firewall: firewall.places.first().is_some(),
        };
        let is_drop_in = |place: &&config::Place| {
            let folder = place.file.parent().and_then(Path::extension);
            folder.is_some_and(|extension| extension == "d")
        };
        let servers_place = client.places.get("servers").filter(is_drop_in);
        let servers_place = servers_place.map(ToString::to_string);
        let serves = serves(&ServerArgs::default(), &server);
        let server = ServerSettings::of(ServerArgs::default(), server, ServerSocket::new(None));
        let relay = RelaySettings::of(RelayArgs::default(), relay, socket.to_owned());
        Self {
            files,
            chosen: chosen.map(Path::to_owned),
            mistakes: examined.mistakes,
            empty_secrets: examined.empty_secrets,
            doubts: examined.doubts,
            has,
            servers_place,
            serves,
            server_secrets: server.secret_file,
            relay_serve: relay.serve,
            server_serve: server.serve,
            host_relay: relay.host,
            client: ClientSettings::of(ClientArgs::default(), client, socket.to_owned()),
            firewall: FirewallSettings::new(FirewallArgs::default(), firewall, socket.to_owned()),
        }
    }

    /// The settings of an agent that has another file than the client.
    pub(super) fn agent_reads(&mut self, file: &Path, socket: &Path) {
        // The default file may be absent, and one that is named may not.
        let chosen = (file != Path::new(DEFAULT_CONFIG)).then_some(file);
        let section = config::examine(chosen).config.firewall;
        self.set_agent(FirewallArgs::default(), section.clone(), socket.to_owned());
        self.files.firewall = section;
    }

    fn set_agent(&mut self, args: FirewallArgs, section: FirewallSection, socket: PathBuf) {
        self.firewall = FirewallSettings::new(args, section, socket);
    }

    /// Takes the options with which a daemon of this host was started.
    pub(super) fn merge(&mut self, process: &Process) {
        // A daemon of another version may have options that this program does not know.
        let Ok(Cli {
            command: Some(command),
            ..
        }) = Cli::try_parse_from(&process.arguments)
        else {
            return;
        };
        let Config {
            client,
            server,
            relay,
            firewall,
        } = self.files.clone();
        let socket = self.client.socket.clone();
        match command {
            Command::Client(args) => {
                if !args.servers.is_empty() {
                    self.servers_place = None;
                }
                self.client = ClientSettings::of(args, client, socket);
            }
            Command::Relay(args) => {
                let relay = RelaySettings::of(args, relay, socket);
                self.relay_serve = relay.serve;
                self.host_relay = relay.host;
                // The tunnel and its port are those of the node that runs.
                self.client.interface = relay.interface;
            }
            Command::Server(args) => {
                self.serves = serves(&args, &server);
                let server = ServerSettings::of(args, server, ServerSocket::new(None));
                self.server_secrets = server.secret_file;
                self.server_serve = server.serve;
            }
            Command::Firewall(args) => self.set_agent(args, firewall, socket),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
