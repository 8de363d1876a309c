//! The thread of a lane: waits, and moves a batch each way.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use teredo::{Instant, Node};

use super::event::{EndGuard, Events};
use super::trouble::Troubles;
use super::{DataPath, LaneEvent, Operation};
use crate::clock::{self, Timer};
use crate::kernel::Endpoint;
use crate::port::{Port, PortAnnouncer, PortFallback, Reply, Target};
use crate::udp::{SERVICE, ServiceSocket};
use crate::{Tun, Waker};

/// The most batches taken from a socket that is about to be closed: its buffer, without the datagrams that a flood adds.
const MAX_LAST_BATCHES: usize = 64;

/// The most random ports of a lane, the bits of [`Ready::random`].
pub(crate) const MAX_RANDOM: usize = 32;

/// The descriptors of a lane besides random ports.
const OWN: usize = 7;

/// For a poll that does not wait.
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The part of a lane that only a client or only a relay has.
pub(crate) trait Role: Sized + Send + 'static {
    /// The state machine.
    type Node: Endpoint<Event: Send> + Send;
    /// A request of the owner.
    type Command: Send;

    /// The first act on the thread.
    fn begin(&mut self, lane: &mut Lane<Self>, now: Instant);

    /// Does what the owner asks.
    fn handle_command(&mut self, lane: &mut Lane<Self>, now: Instant, command: Self::Command);

    /// The port has changed, and datagrams may leave from it; without one there is no port any more.
    fn port_changed(&mut self, lane: &mut Lane<Self>, now: Instant, has_port: bool);

    /// Takes an event of the state machine; by default it goes to the owner.
    fn handle_event(&mut self, lane: &mut Lane<Self>, event: <Self::Node as Node>::Event) {
        lane.report(LaneEvent::Node(event));
    }

    /// The sockets besides the service port.
    fn sockets(&self) -> [Option<&ServiceSocket>; 2] {
        [None, None]
    }

    /// The sockets of random ports (RFC 6081 §5.4), at most [`MAX_RANDOM`].
    fn random_sockets(&self) -> &[ServiceSocket] {
        &[]
    }

    /// The sockets of a block of random ports, which exists for seconds.
    fn block_sockets(&self) -> &[ServiceSocket] {
        &[]
    }

    /// Is readable if one of [`block_sockets`](Self::block_sockets) is.
    fn block_descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The ports of [`block_sockets`](Self::block_sockets) that have something to read.
    fn ready_of_block(&self) -> Vec<u16> {
        Vec::new()
    }

    /// Receives one batch from such a port.
    fn receive_of_block(&mut self, _lane: &mut Lane<Self>, _now: Instant, _port: u16) {}

    /// Receives one batch from the socket at `index` of [`random_sockets`](Self::random_sockets).
    fn receive_random(&mut self, _lane: &mut Lane<Self>, _now: Instant, _index: usize) {}

    /// When [`poll`](Self::poll) is due at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Looks whether something that it waits for has come, or is late.
    fn poll(&mut self, _lane: &mut Lane<Self>, _now: Instant) {}

    /// Receives one batch from the socket at `index` of [`sockets`](Self::sockets).
    fn receive(&mut self, _lane: &mut Lane<Self>, _now: Instant, _index: usize) {}

    /// Sends what waits for the other sockets.
    fn flush(&mut self, _lane: &mut Lane<Self>) {}

    /// The last act on the thread: nothing leaves any more.
    fn end(&mut self, _lane: &mut Lane<Self>, _now: Instant) {}
}

/// A thread's share of the data path.
pub(crate) struct Lane<R: Role> {
    pub(crate) path: DataPath<R::Node>,
    pub(crate) port: Port<ServiceSocket>,
    pub(crate) troubles: Troubles,
    events: Events<<R::Node as Node>::Event>,
    commands: mpsc::Receiver<R::Command>,
    waker: Waker,
    timer: Timer,
}

/// Why a lane has ended.
enum End {
    /// The owner asked for it.
    Owner,
    /// The interface was deleted.
    Interface,
    /// The kernel refused to wait.
    Refused,
}

/// The work that is ready, by source.
#[derive(Clone, Copy, Debug)]
struct Ready {
    waker: bool,
    timer: bool,
    tun: bool,
    tun_lost: bool,
    errors: bool,
    service: bool,
    others: [bool; 2],
    /// The block of random ports.
    block: bool,
    /// A bit for each random port.
    random: u32,
}

impl<R: Role> Lane<R> {
    /// A lane without a port. Gating subscribers have `patience` to settle each change of it, or for ever.
    pub(crate) fn new(
        node: R::Node,
        tun: Tun,
        announcer: Box<dyn PortAnnouncer>,
        patience: Option<Duration>,
        events: Events<<R::Node as Node>::Event>,
        commands: mpsc::Receiver<R::Command>,
        waker: Waker,
    ) -> io::Result<Self> {
        Ok(Self {
            path: DataPath::new(node, tun),
            port: Port::new(announcer, patience),
            troubles: Troubles::default(),
            events,
            commands,
            waker,
            timer: Timer::new()?,
        })
    }

    /// Runs until the owner is gone, or the interface, or until the kernel refuses to wait. The owner hears of the end
    /// when the port is closed and its end announced (N-11), a panic included.
    pub(crate) fn run(self, role: R) {
        let events = Arc::clone(&self.events);
        let mut guard = EndGuard::new(&events);
        match self.run_to_end(role) {
            End::Owner => guard.expected(),
            End::Interface => {
                guard.expected();
                events(LaneEvent::InterfaceLost);
            }
            End::Refused => {}
        }
    }

    fn run_to_end(mut self, mut role: R) -> End {
        role.begin(&mut self, clock::now());
        self.poll_port(&mut role, clock::now());
        let end = loop {
            let ready = match self.wait(&role) {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "the data path cannot wait for its descriptors");
                    break End::Refused;
                }
            };
            if ready.timer {
                self.timer.acknowledge();
            }
            if ready.waker {
                self.waker.acknowledge();
                if self.handle_commands(&mut role).is_break() {
                    break End::Owner;
                }
            }
            if ready.tun_lost {
                break End::Interface;
            }
            self.turn(&mut role, ready);
        };
        self.path.close();
        role.end(&mut self, clock::now());
        self.collect(&mut role);
        // Dropping the lane closes the port and announces its end.
        end
    }

    fn turn(&mut self, role: &mut R, ready: Ready) {
        let now = clock::now();
        self.poll_port(role, now);
        role.poll(self, now);
        self.expire(now);
        self.collect(role);
        if ready.errors {
            self.take_errors(now);
            self.handle_events(role);
        }
        if ready.service {
            self.receive(now);
            self.handle_events(role);
        }
        for (index, _) in ready.others.iter().enumerate().filter(|(_, ready)| **ready) {
            role.receive(self, now, index);
            self.handle_events(role);
        }
        let mut random = ready.random;
        while random != 0 {
            let index = random.trailing_zeros() as usize;
            random &= random - 1;
            role.receive_random(self, now, index);
            self.handle_events(role);
        }
        if ready.block {
            for port in role.ready_of_block() {
                role.receive_of_block(self, now, port);
                self.handle_events(role);
            }
        }
        self.flush(role);
        if ready.tun && !self.path.is_blocked() {
            let submitted = self.path.submit(now);
            self.note_batch(Operation::Submit, submitted);
            self.handle_events(role);
            self.flush(role);
        }
        if self.path.take_long_packets() {
            self.report(LaneEvent::LongPackets);
        }
    }

    fn wait(&mut self, role: &R) -> io::Result<Ready> {
        let serving = self.port.serving().is_some();
        let timeout = self.path.node.poll_timeout().map(|(at, _)| at);
        let timeout = timeout.filter(|_| serving);
        let port = self.port.deadline().or(timeout);
        let earliest = port.into_iter().chain(role.deadline()).min();
        self.timer.arm(earliest)?;
        // While the socket is full, packets of the host wait in the interface's queue. Without a port they are taken and
        // refused, so that none of them leaves late when there is a port again.
        let blocked = self.path.is_blocked();
        let takes_packets = self.port.is_closed() || (serving && !blocked);
        let when = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        let waits = |port| PollFlags::IN | when(self.path.waits_for(port), PollFlags::OUT);
        let [first, second] = role.sockets();
        let service = self.port.receiving();
        let (random, block) = (role.random_sockets(), role.block_descriptor());
        let own: [_; OWN] = [
            PollFd::new(&self.waker, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.path.tun, when(takes_packets, PollFlags::IN)),
            self.poll_fd(service, waits(SERVICE)),
            self.poll_fd(first, PollFlags::IN),
            self.poll_fd(second, PollFlags::IN),
            self.poll_fd(block.as_ref(), PollFlags::IN),
        ];
        // Few lanes ever have random ports, and the others need not pay for them on every turn.
        let (mut few, mut many);
        let fds: &mut [PollFd<'_>] = if random.is_empty() {
            few = own;
            &mut few
        } else {
            many = std::array::from_fn::<_, { OWN + MAX_RANDOM }, _>(|place| {
                let socket = place.checked_sub(OWN).and_then(|index| random.get(index));
                match (own.get(place), socket) {
                    (Some(fd), _) => fd.clone(),
                    (None, Some(socket)) => PollFd::new(socket, waits(socket.local().port())),
                    (None, None) => PollFd::new(&self.waker, PollFlags::empty()),
                }
            });
            &mut many[..OWN + random.len().min(MAX_RANDOM)]
        };
        // The rest of a super-packet has left the interface's queue, and makes nothing readable.
        let more = takes_packets && self.path.has_more();
        // Paths that wait for empty queues are taken before the lane rests.
        let awaited = (takes_packets && self.path.awaits_queues()).then(teredo_bpf::now);
        let looks = more || awaited.is_some();
        match poll(fds, looks.then_some(&AT_ONCE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let (own, random) = fds.split_at(OWN);
        let events = |place: usize| own[place].revents();
        let [tun, service_events] = [events(2), events(3)];
        let arrived = |socket: Option<&ServiceSocket>, events: PollFlags| {
            socket.is_some() && events.intersects(PollFlags::IN | PollFlags::ERR)
        };
        let random = random.iter().enumerate().fold(0, |bits, (index, fd)| {
            let came = fd.revents().intersects(PollFlags::IN | PollFlags::ERR);
            bits | u32::from(came) << index
        });
        let ready = Ready {
            waker: events(0).contains(PollFlags::IN),
            timer: events(1).contains(PollFlags::IN),
            tun: (more || tun.contains(PollFlags::IN)) && takes_packets,
            tun_lost: tun.intersects(PollFlags::ERR | PollFlags::HUP),
            errors: service_events.contains(PollFlags::ERR),
            service: arrived(service, service_events),
            others: [arrived(first, events(4)), arrived(second, events(5))],
            block: block.is_some() && events(6).contains(PollFlags::IN),
            random,
        };
        let empty = !ready.tun && !ready.service && ready.random == 0;
        self.path.queues_polled(empty, awaited);
        Ok(ready)
    }

    /// For a socket that does not exist, a descriptor that is harmless to poll twice takes its place.
    fn poll_fd<'a>(&'a self, socket: Option<&'a impl AsFd>, flags: PollFlags) -> PollFd<'a> {
        match socket {
            Some(socket) => PollFd::new(socket, flags),
            None => PollFd::new(&self.waker, PollFlags::empty()),
        }
    }

    /// Stops sending, and announces where the port goes. The only place that closes the data path while it runs.
    pub(crate) fn change_port(
        &mut self,
        now: Instant,
        to: Target<ServiceSocket>,
        fell_back: Option<PortFallback>,
        reply: Option<Reply>,
    ) {
        self.path.close();
        self.port.change(now, to, fell_back, reply);
    }

    /// Takes the announced port into use if it is settled, or if the subscribers' time is up (N-16). The only place that
    /// opens the data path.
    pub(crate) fn poll_port(&mut self, role: &mut R, now: Instant) {
        let Some(mut ended) = self.port.poll(now) else {
            return;
        };
        let port = ended.port;
        if let Some(waited) = ended.missed {
            self.path.counters.settle_misses += 1;
            tracing::warn!(port, ?waited, "a firewall did not confirm the port in time");
            let sequence = ended.sequence;
            self.report(LaneEvent::SettleMissed {
                sequence,
                port,
                waited,
            });
        }
        if let Some(old) = ended.old.take() {
            self.drain(now, &old);
            self.handle_events(role);
        }
        if ended.bound {
            let fell_back = ended.fell_back();
            self.report(LaneEvent::PortBound { port, fell_back });
        }
        let has_port = self.port.serving().is_some();
        if let Some(socket) = self.port.serving() {
            self.path.open(socket);
        }
        role.port_changed(self, now, has_port);
        self.collect(role);
        ended.answer();
    }

    /// Delivers what the old port has received before it is closed.
    fn drain(&mut self, now: Instant, old: &ServiceSocket) {
        for _ in 0..MAX_LAST_BATCHES {
            let received = self.path.receive(now, old);
            let more = received.is_ok();
            self.note_batch(Operation::Receive, received);
            if !more {
                break;
            }
        }
        self.path.discard();
    }

    fn expire(&mut self, now: Instant) {
        let timeout = self.path.node.poll_timeout();
        if self.port.serving().is_some() && timeout.is_some_and(|(at, _)| at <= now) {
            self.path.node.handle_timeout(now);
        }
    }

    fn receive(&mut self, now: Instant) {
        if let Some(socket) = self.port.receiving() {
            let received = self.path.receive(now, socket);
            self.note_batch(Operation::Receive, received);
        }
    }

    /// Before anything is sent or received: otherwise the kernel reports the errors there.
    fn take_errors(&mut self, now: Instant) {
        if let Some(socket) = self.port.receiving()
            && let Err(error) = self.path.take_errors(now, socket)
        {
            self.note(Operation::Receive, Some(error));
        }
    }

    /// Sends what is ready, if the port may be used (N-16).
    fn flush(&mut self, role: &mut R) {
        match self.port.serving() {
            Some(socket) => {
                let refused = self
                    .path
                    .flush(socket, role.random_sockets(), role.block_sockets());
                self.note(Operation::Send, refused);
            }
            None => self.path.discard(),
        }
        role.flush(self);
    }

    /// Drains the state machine after any call but one with a batch.
    pub(crate) fn collect(&mut self, role: &mut R) {
        let refused = self.path.collect();
        self.note(Operation::Deliver, refused);
        self.handle_events(role);
    }

    fn handle_events(&mut self, role: &mut R) {
        while let Some(event) = self.path.node.poll_event() {
            role.handle_event(self, event);
        }
    }

    fn handle_commands(&mut self, role: &mut R) -> ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => role.handle_command(self, clock::now(), command),
                Err(mpsc::TryRecvError::Empty) => return ControlFlow::Continue(()),
                Err(mpsc::TryRecvError::Disconnected) => return ControlFlow::Break(()),
            }
            self.poll_port(role, clock::now());
            self.collect(role);
        }
    }

    pub(crate) fn report(&self, event: LaneEvent<<R::Node as Node>::Event>) {
        (self.events)(event);
    }

    /// Reports an error of `operation` if it is new.
    pub(crate) fn note(&mut self, operation: Operation, refused: Option<io::Error>) {
        if let Some(error) = refused
            && let Some(message) = self.troubles.note(operation, &error)
        {
            self.report(LaneEvent::IoError { operation, message });
        }
    }

    /// `result` is an error of `operation`, or of the deliveries that it led to.
    pub(crate) fn note_batch(
        &mut self,
        operation: Operation,
        result: io::Result<Option<io::Error>>,
    ) {
        match result {
            Ok(refused) => self.note(Operation::Deliver, refused),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.note(operation, Some(error)),
        }
    }
}
