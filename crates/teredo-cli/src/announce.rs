//! `teredo announce`: the routes to a relay or a server, for as long as it serves.
//!
//! ```text
//!  node <══ probe.rs, sockets.rs ══> health.rs ──> routes of a table ──> a routing daemon (BIRD)
//!            server.rs: a client's solicitation      teredo-tunnel         announces them
//!            relay.rs: a packet through the relay and back
//! ```
//!
//! It is a process of its own, because a node that hangs cannot withdraw its route. It starts nothing and answers nobody.

mod health;
mod probe;
mod relay;
mod server;
mod sockets;
mod target;

use std::io;
use std::path::Path;
use std::time::Duration;

use caps::Capability;
use teredo_tunnel::net::{AnnouncedRoutes, InterfaceError, Network};
use teredo_tunnel::{OpenError as TunError, Tun, clock};

use self::health::{Health, Number, Pace, Watch};
use self::probe::Progress;
use self::sockets::Probe;
use self::target::Target;
use crate::args::{AnnounceCommand, RouteOptions};
use crate::config::Config;
use crate::daemon::sandbox::Needs;
use crate::daemon::{self, ControlSignal, Session, privilege, sandbox};
use crate::failure::{Exit, Failure};
use crate::output::narrate;
use crate::text::span;

/// The metrics of the routes, by which a routing daemon prefers one node to another.
const HEALTHY: u32 = 100;
const STRAINED: u32 = 200;

/// Announces until a signal ends it.
pub(crate) fn run(command: &AnnounceCommand, config: Option<&Path>) -> Result<Exit, Failure> {
    let config = Config::load(config)?;
    let (target, networks, options, pace) = match command {
        AnnounceCommand::Relay(args) => {
            let (target, networks) = Target::relay(args, config)?;
            (target, networks, &args.routes, &args.probe)
        }
        AnnounceCommand::Server(args) => {
            let (target, networks) = Target::server(args, config)?;
            (target, networks, &args.routes, &args.probe)
        }
    };
    let pace = Pace {
        every: pace.every,
        late: pace.late,
    };
    let networks = match options.route.as_slice() {
        [] => networks,
        chosen => chosen.to_vec(),
    };
    daemon::run(async {
        let mut session = Session::new()?;
        let routes = prepare(options, target.role(), &networks).await?;
        let mut announcer = Announcer {
            watch: Watch::new(clock::now(), pace),
            target,
            networks: listed(&networks),
            table: options.table,
            routes,
            probe: None,
            reason: None,
            told: None,
        };
        daemon::tell_ready();
        let outcome = announcer.serve(&mut session).await;
        daemon::tell_stopping();
        announcer.drain(&mut session, options.drain).await;
        outcome.map(|()| Exit::Done)
    })
}

/// Makes the interface, and gives up what is not needed any more.
async fn prepare(
    options: &RouteOptions,
    role: &str,
    networks: &[Network],
) -> Result<AnnouncedRoutes, Failure> {
    let usual = || format!("announce-{role}");
    let name = options.route_interface.clone().unwrap_or_else(usual);
    let tun = Tun::open(Some(&name)).map_err(|error| {
        let (exit, hint) = match &error {
            TunError::NotPermitted => (Exit::NotPermitted, "run it as root"),
            TunError::NameTaken { .. } => (
                Exit::Failed,
                "a node is announced once; another pair of a server needs another interface: --route-interface NAME",
            ),
            _ => (Exit::Failed, "--verbose may say more"),
        };
        Failure::new(exit, "cannot hold the routes").because(error).hint(hint)
    })?;
    let routes = AnnouncedRoutes::new(tun, options.table, networks.to_vec())
        .await
        .map_err(route_failure)?;
    privilege::keep([Capability::CAP_NET_ADMIN])?;
    sandbox::enter(&Needs::of_an_announcer());
    Ok(routes)
}

/// The node, its routes, and what was told of it.
struct Announcer {
    watch: Watch,
    target: Target,
    /// The networks, for messages.
    networks: String,
    table: u32,
    routes: AnnouncedRoutes,
    /// None until the node is there.
    probe: Option<Probe>,
    /// Why the node does not answer.
    reason: Option<String>,
    /// The state that was told last.
    told: Option<Health>,
}

impl Announcer {
    /// Until a signal asks for the end, or the routes cannot be held.
    async fn serve(&mut self, session: &mut Session) -> Result<(), Failure> {
        let mut number = 0;
        loop {
            let pause = self.watch.due() - clock::now();
            tokio::select! {
                () = session.end.received() => return Ok(()),
                () = session.watchdog.due() => session.watchdog.feed(true),
                signal = session.signals.received() => match signal {
                    ControlSignal::Print => self.print(),
                    ControlSignal::Reload => narrate("settings take effect at a restart"),
                },
                () = tokio::time::sleep(pause) => {
                    let before = self.watch.tally().lost;
                    if let Some(next) = self.watch.tick(clock::now()) {
                        if self.watch.tally().lost > before {
                            self.lost();
                        }
                        number = next;
                        self.ask(number);
                    }
                }
                received = receive(self.probe.as_ref()) => self.received(number, received),
            }
            self.apply().await?;
        }
    }

    /// Starts a probe.
    fn ask(&mut self, number: Number) {
        if self.probe.is_none() {
            match Probe::open(&self.target) {
                Ok(probe) => self.probe = Some(probe),
                Err(error) => {
                    if error.is_of_the_node() {
                        tracing::debug!("{error}");
                    } else {
                        tracing::warn!("{error}");
                    }
                    self.reason = Some(error.to_string());
                    return self.watch.refused(number);
                }
            }
        }
        let Some(probe) = &mut self.probe else {
            return;
        };
        let datagrams = probe.prober.ask(random());
        self.send(number, &datagrams);
    }

    fn send(&mut self, number: Number, datagrams: &[probe::Datagram]) {
        let Some(probe) = &self.probe else {
            return;
        };
        let sent = datagrams
            .iter()
            .try_for_each(|datagram| probe.send(datagram));
        if let Err(error) = sent {
            self.refused(number, &error);
        }
    }

    fn received(&mut self, number: Number, received: io::Result<(usize, Vec<u8>)>) {
        let (at, bytes) = match received {
            Ok(received) => received,
            Err(error) => return self.refused(number, &error),
        };
        let Some(probe) = &mut self.probe else {
            return;
        };
        match probe.prober.received(at, &bytes) {
            Ok(Progress::Answered) => {
                self.reason = None;
                self.watch.answered(clock::now(), number);
            }
            Ok(Progress::Send(datagrams)) => self.send(number, &datagrams),
            Err(wrong) => {
                tracing::debug!("{wrong}");
                if wrong != probe::Wrong::Nonce {
                    self.reason = Some(wrong.to_string());
                }
            }
        }
    }

    /// The probe that was under way has no answer.
    fn lost(&mut self) {
        // With new sockets, the next one begins anew: the interface may be another one.
        if let Some(probe) = self.probe.take() {
            let silence = probe.prober.silence();
            tracing::debug!("{silence}");
            self.reason.get_or_insert(silence);
        }
    }

    /// The kernel says that there is no node.
    fn refused(&mut self, number: Number, error: &io::Error) {
        tracing::debug!(%error, "refused");
        self.probe = None;
        self.reason = Some(match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("nobody listens at the {}'s port", self.target.role())
            }
            _ => format!("the {} cannot be reached: {error}", self.target.role()),
        });
        self.watch.refused(number);
    }

    /// Gives the routes the metric of the state. What another program has removed comes back.
    async fn apply(&mut self) -> Result<(), Failure> {
        let health = self.watch.health();
        let metric = metric(health);
        self.routes.set(metric).await.map_err(route_failure)?;
        if self.told == Some(health) || self.told.is_none() && self.is_undecided() {
            return Ok(());
        }
        let before = self.told.replace(health);
        let line = self.told_of(health, before);
        narrate(&line);
        daemon::tell_state(&line);
        Ok(())
    }

    /// Whether it is too early to say that the node does not answer.
    fn is_undecided(&self) -> bool {
        let tally = self.watch.tally();
        self.watch.health() == Health::Dead && tally.lost + tally.refused < 3
    }

    fn told_of(&self, health: Health, before: Option<Health>) -> String {
        let Self {
            networks, table, ..
        } = self;
        let role = self.target.role();
        let reason = || match &self.reason {
            Some(reason) => reason.clone(),
            None => format!("the {role} does not answer"),
        };
        match (health, before) {
            (Health::Healthy, _) => {
                format!(
                    "announcing {networks} in table {table}, metric {HEALTHY}: the {role} answers"
                )
            }
            (Health::Strained, Some(Health::Dead)) => format!(
                "announcing {networks} in table {table}, metric {STRAINED}: the {role} answers again"
            ),
            (Health::Strained, _) => {
                let (bad, of) = self.watch.recent();
                format!(
                    "announcing {networks} in table {table}, metric {STRAINED}: {bad} of {of} answers of the {role} were late or lost"
                )
            }
            (Health::Dead, None) => {
                format!("not announced: {}; {}", reason(), self.target.doubt())
            }
            (Health::Dead, Some(_)) => format!("withdrew {networks}: {}", reason()),
        }
    }

    /// Prints the state, at SIGUSR1.
    fn print(&self) {
        let tally = self.watch.tally();
        let state = match self.watch.health() {
            Health::Healthy => "healthy",
            Health::Strained => "strained",
            Health::Dead => "dead",
        };
        let last = tally.took.map_or_else(String::new, |took| {
            format!("; the last answer took {}", span(took))
        });
        narrate(format_args!(
            "the {} is {state}: {} probes, {} late, {} lost, {} refused{last}",
            self.target.role(),
            tally.probes,
            tally.late,
            tally.lost,
            tally.refused
        ));
    }

    /// Removes the routes, and waits while traffic still comes by the old way, if any can come.
    async fn drain(&mut self, session: &mut Session, drain: Duration) {
        let was_announced = metric(self.watch.health()).is_some();
        if let Err(error) = self.routes.set(None).await {
            // They end with the interface, in a moment.
            tracing::warn!(%error, "cannot remove the routes before the end");
        }
        if was_announced && !drain.is_zero() {
            let line = format!(
                "withdrew {}; traffic has {} to move away",
                self.networks,
                span(drain)
            );
            narrate(&line);
            daemon::tell_state(&line);
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                () = session.end.received() => {}
            }
        }
    }
}

const fn metric(health: Health) -> Option<u32> {
    match health {
        Health::Healthy => Some(HEALTHY),
        Health::Strained => Some(STRAINED),
        Health::Dead => None,
    }
}

/// Pending without a probe.
async fn receive(probe: Option<&Probe>) -> io::Result<(usize, Vec<u8>)> {
    match probe {
        Some(probe) => probe.receive().await,
        None => std::future::pending().await,
    }
}

/// Random bytes of the kernel.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails only if the buffer is bad or the kernel has no such call.
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(N));
    bytes
}

/// `a and b`, or `a, b and c`.
fn listed(networks: &[Network]) -> String {
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn route_failure(error: InterfaceError) -> Failure {
    let exit = match &error {
        InterfaceError::NotPermitted { .. } => Exit::NotPermitted,
        _ => Exit::Failed,
    };
    Failure::new(exit, "cannot hold the routes").because(error)
}

#[cfg(test)]
mod tests;
