//! The lives of clients: they come and go, their NATs forget them or get other addresses, their servers
//! die for a while.

use std::net::Ipv6Addr;
use std::time::Duration;

use teredo::Instant;
use teredo::wire::TeredoAddress;

use crate::contact::Target;
use crate::plan::{Plan, REGIONS};
use crate::region::Region;

/// A client has nothing to promise for so long after it was disturbed: it notices a rebinding at the next refresh, at
/// most 30 s later.
const NOTICE: Duration = Duration::from_secs(60);
/// A client is back so long after its servers are: it waits at most 300 s between two attempts.
const RETURN: Duration = Duration::from_secs(600);
/// How often the clients are counted.
const CENSUS: Duration = Duration::from_secs(3_600);

/// Something that happens at random.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A client stops.
    Leave,
    /// A NAT forgets its mappings.
    Forget,
    /// A NAT gets another address.
    Renumber,
    /// A program talks to another client.
    Peer,
    /// A program talks to a native host.
    Native,
    /// A server dies.
    Fail,
}

/// How often it happens in a day, to each client or to each server, on average.
const PER_DAY: [(Happening, f64); 6] = [
    (Happening::Leave, 2.0),
    (Happening::Forget, 0.5),
    (Happening::Renumber, 0.5),
    (Happening::Peer, 24.0),
    (Happening::Native, 12.0),
    (Happening::Fail, 6.0),
];

const DAY: f64 = 86_400.0;

/// Something that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// A second has passed.
    Second,
    /// A client starts.
    Join(usize),
    /// A server answers again.
    Recover(usize),
    /// A contact asks again.
    Ask(u64),
    /// The clients are counted.
    Census,
}

/// A client's state, as far as its host knows it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    pub(crate) online: bool,
    renumbered: u16,
    /// When it last came, went or lost its mapping.
    disturbed: Instant,
}

/// A server's state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    down: bool,
    /// When that changed last.
    since: Instant,
}

/// How often something has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    pub(crate) joined: u64,
    pub(crate) left: u64,
    pub(crate) forgotten: u64,
    pub(crate) renumbered: u64,
    pub(crate) failed: u64,
}

/// The part of the next event of each kind that has come.
#[derive(Debug)]
pub(crate) struct Chances([f64; PER_DAY.len()]);

impl Chances {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self(PER_DAY.map(|_| rng.f64()))
    }
}

impl Region {
    pub(crate) fn begin(&mut self) {
        let clients = self.clients.len();
        let arrival = self.plan.arrival();
        for client in 0..clients {
            let at = arrival.mul_f64(client as f64 / clients as f64);
            self.tasks.push(Instant::default() + at, Task::Join(client));
        }
        self.tasks.push(Instant::default(), Task::Second);
        self.tasks.push(Instant::default() + CENSUS, Task::Census);
    }

    pub(crate) fn perform(&mut self, task: Task) {
        let now = self.world.now();
        match task {
            Task::Second => {
                self.pass_second();
                self.tasks.push(now + Duration::from_secs(1), Task::Second);
            }
            Task::Join(client) => self.join(client),
            Task::Recover(server) => self.set_down(server, false),
            Task::Ask(number) => self.ask(number),
            Task::Census => {
                self.count_stranded();
                self.watch.borrow_mut().forget(now);
                self.tasks.push(now + CENSUS, Task::Census);
            }
        }
    }

    fn pass_second(&mut self) {
        for (kind, (happening, per_day)) in PER_DAY.into_iter().enumerate() {
            let subjects = match happening {
                Happening::Fail => self.servers.len(),
                _ => self.clients.len(),
            };
            let due = self.chances.0[kind] + per_day * subjects as f64 / DAY;
            self.chances.0[kind] = due.fract();
            for _ in 0..due as usize {
                let subject = self.rng.usize(..subjects);
                self.happen(happening, subject);
            }
        }
    }

    fn happen(&mut self, happening: Happening, subject: usize) {
        match happening {
            Happening::Leave => self.leave(subject),
            Happening::Forget => self.forget_mapping(subject),
            Happening::Renumber => self.renumber(subject),
            Happening::Peer => self.invite(subject),
            Happening::Native => {
                let region = self.rng.usize(..REGIONS);
                let host = self.rng.usize(..self.plan.relays());
                self.contact(subject, Target::Native(Plan::native(region, host)));
            }
            Happening::Fail => self.fail_server(subject),
        }
    }

    fn join(&mut self, client: usize) {
        self.events.joined += 1;
        self.lives[client].online = true;
        self.lives[client].disturbed = self.world.now();
        let servers = self
            .servers_of(client)
            .map(|server| Plan::server(self.number, server));
        self.world.start(self.clients[client], &servers);
    }

    fn leave(&mut self, client: usize) {
        if !self.lives[client].online {
            return;
        }
        self.events.left += 1;
        self.lives[client].online = false;
        self.lives[client].disturbed = self.world.now();
        self.world.stop(self.clients[client]);
        let pause = Duration::from_secs(self.rng.u64(60..3_600));
        self.tasks
            .push(self.world.now() + pause, Task::Join(client));
    }

    fn forget_mapping(&mut self, client: usize) {
        self.events.forgotten += 1;
        self.lives[client].disturbed = self.world.now();
        self.world.nat_mut(self.nats[client]).forget();
    }

    fn renumber(&mut self, client: usize) {
        self.events.renumbered += 1;
        let life = &mut self.lives[client];
        life.disturbed = self.world.now();
        life.renumbered = life.renumbered.wrapping_add(1);
        let external = self
            .plan
            .external(self.number, client, life.renumbered.into());
        self.world.renumber_nat(self.nats[client], external);
    }

    fn fail_server(&mut self, server: usize) {
        if !self.servers[server].down {
            self.events.failed += 1;
            self.set_down(server, true);
            let pause = Duration::from_secs(self.rng.u64(60..900));
            self.tasks
                .push(self.world.now() + pause, Task::Recover(server));
        }
    }

    fn set_down(&mut self, server: usize, down: bool) {
        let address = Plan::server(self.number, server);
        self.world.set_silent(address.primary, down);
        self.world.set_silent(address.secondary, down);
        let since = self.world.now();
        self.servers[server] = Health { down, since };
    }

    /// The servers that a client knows.
    fn servers_of(&self, client: usize) -> [usize; 2] {
        [client, client + 1].map(|server| server % self.servers.len())
    }

    /// The address of a client that is in service and was not disturbed for a while.
    pub(crate) fn address_in_service(&self, client: usize) -> Option<Ipv6Addr> {
        let status = self.world.client(self.clients[client]).client().status();
        let address = status.address?;
        self.served(client, address, self.world.now())
            .then_some(address)
    }

    /// Whether nothing has kept a client from serving with this address since then.
    pub(crate) fn served(&self, client: usize, address: Ipv6Addr, since: Instant) -> bool {
        let life = self.lives[client];
        let status = self.world.client(self.clients[client]).client().status();
        let own = |server: &usize| {
            let primary = Plan::server(self.number, *server).primary;
            TeredoAddress::from_ipv6(address).is_some_and(|address| address.server == primary)
        };
        let server = self.servers_of(client).into_iter().find(own);
        life.online
            && life.disturbed + NOTICE <= since
            && status.address == Some(address)
            && server.is_some_and(|server| {
                let health = self.servers[server];
                !health.down && health.since <= since
            })
    }

    /// Counts the clients that have no address, though nothing has been in their way for long.
    pub(crate) fn count_stranded(&mut self) {
        let now = self.world.now();
        for client in 0..self.clients.len() {
            let life = self.lives[client];
            let reachable = self.servers_of(client).into_iter().any(|server| {
                let health = self.servers[server];
                !health.down && health.since + RETURN <= now
            });
            if !life.online || life.disturbed + RETURN > now || !reachable {
                continue;
            }
            let status = self.world.client(self.clients[client]).client().status();
            if status.address.is_none() {
                self.watch.borrow_mut().strand(now, || {
                    format!("client {client} has no address: {:?}", status.reason)
                });
            }
        }
    }
}
