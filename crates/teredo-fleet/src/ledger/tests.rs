use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A ledger, and the bucket that it follows.
struct World {
    ledger: Ledger,
    start: Instant,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Terms)) -> Self {
        let mut terms = Terms {
            lease: LEASE,
            mapped: false,
            grants: Grants::default(),
            hosts: MAX_HOSTS,
        };
        change(&mut terms);
        Self {
            ledger: Ledger::new(terms),
            start: Instant::now(),
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + seconds(second)
    }

    /// The bucket delivers at once what it takes at this second.
    fn put(&mut self, second: u64, entry: &Entry) -> Result<Learnt, Refusal> {
        self.deliver(second, second, entry)
    }

    fn deliver(&mut self, taken: u64, arrived: u64, entry: &Entry) -> Result<Learnt, Refusal> {
        let news = News {
            key: entry.host.as_str(),
            stamp: seconds(1_000_000 + taken),
            wall: seconds(1_000_000 + arrived),
            value: Some(&entry.encode()),
            is_copy: false,
        };
        self.ledger.learn(&news, self.start + seconds(arrived))
    }

    fn delete(&mut self, second: u64, key: &str) -> Result<Learnt, Refusal> {
        let news = News {
            key,
            stamp: seconds(1_000_000 + second),
            wall: seconds(1_000_000 + second),
            value: None,
            is_copy: false,
        };
        self.ledger.learn(&news, self.start + seconds(second))
    }

    fn is_open(&self, second: u64, endpoint: &str) -> bool {
        self.ledger
            .until(&endpoint.parse().unwrap(), self.at(second))
            .is_some()
    }
}

fn entry(host: &str, time: u64, port: u16) -> Entry {
    Entry {
        host: host.parse().unwrap(),
        address: None,
        local: (port != 0).then(|| SocketAddrV4::new([192, 0, 2, 7].into(), port)),
        mapped: (port != 0).then(|| SocketAddrV4::new([198, 51, 100, 1].into(), port)),
        sequence: u64::from(port),
        boot: String::from("first"),
        time: seconds(1_000_000 + time),
        uptime: Some(seconds(time)),
        lease: None,
    }
}

fn name(result: Result<Learnt, Refusal>) -> &'static str {
    let name = result.unwrap_err().name();
    assert!(Refusal::NAMES.contains(&name), "{name}");
    name
}

const OLD: &str = "192.0.2.7:4500";
const NEW: &str = "192.0.2.7:4501";

#[test]
fn an_entry_is_a_lease() {
    let mut world = World::new();
    assert_eq!(
        world.put(0, &entry("web", 1, 4500)).unwrap(),
        Learnt::Changed
    );
    assert!(world.is_open(14, OLD) && !world.is_open(15, OLD));
    assert_eq!(
        world.put(5, &entry("web", 6, 4500)).unwrap(),
        Learnt::Renewed
    );
    assert!(world.is_open(19, OLD) && !world.is_open(20, OLD));
}

/// An old entry that a cut kept in TCP has a fresh stamp. It opens nothing when the cut ends, whatever comes after it.
#[test]
fn an_entry_that_was_held_up_counts_from_when_it_was_written() {
    let mut world = World::new();
    for second in [0, 5, 10] {
        world.put(second, &entry("web", second, 4500)).unwrap();
    }
    // As the perimeter does all the time: the host has gone meanwhile.
    for second in 11..600 {
        world.ledger.expire(world.at(second));
    }
    // Written at the beginning of a cut of ten minutes. The host's clock is an hour ahead, so it says nothing.
    let mut old = entry("web", 12, 4500);
    old.time += seconds(3600);
    world.deliver(612, 612, &old).unwrap();
    assert!(!world.is_open(612, OLD));
    let web = "web".parse().unwrap();
    assert_eq!(world.ledger.state(&web, world.at(612)), None);
    // Written shortly before its end.
    world.deliver(612, 612, &entry("web", 608, 4501)).unwrap();
    assert!(world.is_open(622, NEW) && !world.is_open(623, NEW));
    world.put(613, &entry("web", 613, 4501)).unwrap();
    assert!(world.is_open(627, NEW) && !world.is_open(628, NEW));
}

/// A perimeter that was started during the cut has nothing to compare it with but the clocks.
#[test]
fn a_first_entry_that_was_held_up_counts_from_the_hosts_time() {
    let mut world = World::new();
    world.deliver(72, 72, &entry("web", 12, 4500)).unwrap();
    assert!(!world.is_open(72, OLD));
    world.put(73, &entry("web", 73, 4501)).unwrap();
    assert!(!world.is_open(73, OLD) && world.is_open(87, NEW) && !world.is_open(88, NEW));
}

/// A host whose clock is behind looks like that, until its second entry.
#[test]
fn a_host_whose_clock_is_behind_is_open_with_its_second_entry() {
    let mut world = World::new();
    let mut entry = entry("web", 100, 4500);
    entry.time = seconds(5);
    world.put(0, &entry).unwrap();
    assert!(!world.is_open(0, OLD));
    (entry.time, entry.uptime) = (seconds(10), Some(seconds(105)));
    world.put(5, &entry).unwrap();
    assert!(world.is_open(19, OLD) && !world.is_open(20, OLD));
    // A publisher that starts again after the clock was set: the time since the boot goes on.
    (entry.time, entry.uptime) = (seconds(3), Some(seconds(110)));
    assert_eq!(world.put(10, &entry).unwrap(), Learnt::Renewed);
    assert!(world.is_open(24, OLD) && !world.is_open(25, OLD));
}

/// Other programs may write any time: only its order counts.
#[test]
fn an_entry_without_an_uptime_counts_from_the_stamp() {
    let mut world = World::new();
    let mut entry = entry("web", 1, 4500);
    (entry.time, entry.uptime) = (seconds(1), None);
    world.put(0, &entry).unwrap();
    assert!(world.is_open(14, OLD) && !world.is_open(15, OLD));
    entry.time = seconds(2);
    world.put(10, &entry).unwrap();
    assert!(world.is_open(24, OLD) && !world.is_open(25, OLD));
    assert_eq!(
        name(world.put(
            11,
            &Entry {
                sequence: 9,
                ..entry
            }
        )),
        "replayed"
    );
}

/// A perimeter that has just started gets what the server has had for long. Nobody opens a port for longer than a lease by that.
#[test]
fn an_entry_of_a_snapshot_without_an_uptime_is_as_old_as_the_server_says() {
    let mut world = World::new();
    let entry = Entry {
        uptime: None,
        ..entry("web", 0, 4500)
    };
    world.deliver(0, 12, &entry).unwrap();
    assert!(world.is_open(14, OLD));
    assert!(!world.is_open(16, OLD));
}

/// A host may want a shorter lease than the bucket has, and not a longer one.
#[test]
fn a_shorter_lease_of_one_host_holds_for_it_alone() {
    let mut world = World::new();
    world
        .put(
            0,
            &Entry {
                lease: Some(seconds(3)),
                ..entry("web", 1, 4500)
            },
        )
        .unwrap();
    world
        .put(
            0,
            &Entry {
                lease: Some(seconds(60)),
                ..entry("mail", 1, 4501)
            },
        )
        .unwrap();
    assert!(world.is_open(2, OLD) && !world.is_open(3, OLD));
    assert!(world.is_open(14, NEW) && !world.is_open(15, NEW));
}

/// A perimeter that dies leaves the kernel's timeouts: a renewal with a shorter lease has to reach them, and others need not.
#[test]
fn a_renewal_with_a_shorter_lease_is_looked_at() {
    let mut world = World::new();
    assert_eq!(
        world.put(0, &entry("web", 1, 4000)).unwrap(),
        Learnt::Changed
    );
    world.ledger.take_dirty();
    assert_eq!(
        world.put(1, &entry("web", 2, 4000)).unwrap(),
        Learnt::Renewed
    );
    assert!(world.ledger.take_dirty().is_empty());
    let mut shorter = entry("web", 3, 4000);
    shorter.lease = Some(seconds(4));
    assert_eq!(world.put(2, &shorter).unwrap(), Learnt::Renewed);
    let endpoint = "192.0.2.7:4000".parse().unwrap();
    assert_eq!(world.ledger.take_dirty(), HashSet::from([endpoint]));
    assert_eq!(
        world.ledger.until(&endpoint, world.at(2)),
        Some(world.at(6))
    );
}

/// The kernel's element may have gone before the lease: a renewal that comes so late has to put it back.
#[test]
fn a_renewal_at_the_last_moment_is_looked_at() {
    let mut world = World::new();
    assert_eq!(
        world.put(0, &entry("web", 1, 4000)).unwrap(),
        Learnt::Changed
    );
    world.ledger.take_dirty();
    let late = LEASE - Duration::from_millis(40);
    let renewal = entry("web", 2, 4000).encode();
    let news = News {
        key: "web",
        stamp: seconds(1_000_000) + late,
        wall: seconds(1_000_000) + late,
        value: Some(&renewal),
        is_copy: false,
    };
    let learnt = world.ledger.learn(&news, world.start + late);
    assert_eq!(learnt.unwrap(), Learnt::Renewed);
    assert_eq!(
        world.ledger.take_dirty(),
        HashSet::from(["192.0.2.7:4000".parse().unwrap()])
    );
}

#[test]
fn a_rebind_opens_the_new_port_and_closes_the_old_one() {
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    world.ledger.take_dirty();
    assert_eq!(
        world.put(1, &entry("web", 2, 4501)).unwrap(),
        Learnt::Changed
    );
    let dirty = world.ledger.take_dirty();
    assert_eq!(
        dirty,
        HashSet::from([OLD.parse().unwrap(), NEW.parse().unwrap()])
    );
    assert!(!world.is_open(1, OLD) && world.is_open(1, NEW));
}

#[test]
fn port_0_and_a_deleted_key_close_at_once() {
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    world.put(1, &entry("web", 2, 0)).unwrap();
    assert!(!world.is_open(1, OLD));
    world.put(2, &entry("web", 3, 4500)).unwrap();
    assert_eq!(world.delete(3, "web").unwrap(), Learnt::Gone);
    assert!(!world.is_open(3, OLD));
    assert_eq!(world.delete(3, "never").unwrap(), Learnt::Known);
}

/// A perimeter confirms what it holds; a deleted key is nothing of the host's, port 0 is a state of it.
#[test]
fn a_deleted_entry_is_not_confirmed() {
    let mut world = World::new();
    let key = "web".parse().unwrap();
    world.put(0, &entry("web", 0, 4500)).unwrap();
    world.delete(1, "web").unwrap();
    assert_eq!(world.ledger.state(&key, world.at(1)), None);
    world.put(2, &entry("web", 2, 0)).unwrap();
    assert!(world.ledger.state(&key, world.at(2)).is_some());
}

/// A perimeter that starts late gets entries that are old: each has what is left of its lease, by this machine's clock.
#[test]
fn an_old_entry_has_the_rest_of_its_lease() {
    let mut world = World::new();
    world.deliver(90, 100, &entry("web", 90, 4500)).unwrap();
    assert!(world.is_open(100 + 4, OLD) && !world.is_open(100 + 5, OLD));
    world.put(105, &entry("web", 105, 4500)).unwrap();
    assert!(world.is_open(119, OLD) && !world.is_open(120, OLD));
}

/// If this machine's clock is behind, the newest entry tells the time for the others.
#[test]
fn an_old_entry_has_no_more_than_the_servers_clock_leaves() {
    let mut world = World::new();
    for (host, port, taken) in [("web", 4500, 0), ("mail", 4501, 10)] {
        let value = entry(host, taken, port).encode();
        let news = News {
            key: host,
            stamp: seconds(1_000_000 + taken),
            wall: Duration::ZERO,
            value: Some(&value),
            is_copy: false,
        };
        world
            .ledger
            .learn(&news, world.start + seconds(100))
            .unwrap();
    }
    assert!(world.is_open(100 + 4, OLD) && !world.is_open(100 + 5, OLD));
    assert!(world.is_open(100 + 14, NEW) && !world.is_open(100 + 15, NEW));
}

/// Rule 1: nobody reports the end of an entry. It ends by itself, although the bucket says nothing more.
#[test]
fn a_host_without_renewals_is_closed_and_forgotten_later() {
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    world.ledger.take_dirty();
    world.ledger.expire(world.at(15));
    assert_eq!(
        world.ledger.take_dirty(),
        HashSet::from([OLD.parse().unwrap()])
    );
    assert_eq!(
        (world.ledger.open_hosts(), world.ledger.hosts.len()),
        (0, 1)
    );
    world.ledger.expire(world.at(20 * 60));
    assert_eq!((world.ledger.hosts.len(), world.ledger.names.len()), (0, 0));
}

#[test]
fn a_replay_renews_nothing() {
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    world.put(1, &entry("web", 2, 4501)).unwrap();
    for time in [1, 2] {
        assert_eq!(name(world.put(5, &entry("web", time, 4500))), "replayed");
    }
    assert!(!world.is_open(5, OLD) && world.is_open(15, NEW) && !world.is_open(16, NEW));
}

#[test]
fn an_entry_of_a_boot_that_has_ended_is_a_replay() {
    let mut world = World::new();
    world.put(0, &entry("web", 100, 4500)).unwrap();
    // The clock of a host that restarts may be behind.
    let second = Entry {
        boot: String::from("second"),
        ..entry("web", 1, 4501)
    };
    assert_eq!(world.put(1, &second).unwrap(), Learnt::Changed);
    assert_eq!(name(world.put(2, &entry("web", 200, 4500))), "replayed");
    assert!(!world.is_open(2, OLD) && world.is_open(2, NEW));
}

/// A clock that was set back costs one lease: the host is forgotten, and counts again.
#[test]
fn a_host_whose_clock_was_set_back_is_open_again_after_two_leases() {
    let mut world = World::new();
    world.put(0, &entry("web", 1000, 4500)).unwrap();
    assert_eq!(name(world.put(5, &entry("web", 10, 4500))), "replayed");
    world.ledger.expire(world.at(30));
    assert_eq!(
        world.put(30, &entry("web", 35, 4500)).unwrap(),
        Learnt::Changed
    );
}

#[test]
fn a_snapshot_repeats_what_is_known() {
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    assert_eq!(
        world.deliver(0, 9, &entry("web", 1, 4500)).unwrap(),
        Learnt::Known
    );
    assert!(!world.is_open(15, OLD));
    // Nor is it a replay once it has ended here.
    world.ledger.expire(world.at(15));
    assert_eq!(
        world.deliver(0, 16, &entry("web", 1, 4500)).unwrap(),
        Learnt::Known
    );
    assert!(!world.is_open(16, OLD));
}

#[test]
fn what_a_host_may_not_say_opens_nothing_and_closes_nothing() {
    let mut world = World::with(|terms| {
        terms.grants = Grants::new(vec!["192.0.2.0/24".parse().unwrap()]);
    });
    world.put(0, &entry("web", 1, 4500)).unwrap();
    let mut forged = entry("web", 2, 4501);
    forged.local = Some("203.0.113.9:22".parse().unwrap());
    assert_eq!(name(world.put(1, &forged)), "not_granted");
    assert!(
        !world.is_open(1, "203.0.113.9:22") && world.is_open(14, OLD) && !world.is_open(15, OLD)
    );

    let mut learn = |key: &str, value: &[u8]| {
        let news = News {
            key,
            stamp: seconds(1_000_001),
            wall: seconds(1_000_001),
            value: Some(value),
            is_copy: false,
        };
        name(world.ledger.learn(&news, world.start + seconds(1)))
    };
    assert_eq!(learn("a.b", b"{}"), "key");
    assert_eq!(learn("mail", b"{}"), "malformed");
    assert_eq!(learn("mail", &entry("web", 3, 4500).encode()), "other_host");
    let mut nobody = entry("mail", 3, 4500);
    nobody.local = Some("127.0.0.1:4500".parse().unwrap());
    assert_eq!(learn("mail", &nobody.encode()), "address");
}

#[test]
fn the_number_of_hosts_has_a_bound() {
    let mut world = World::with(|terms| terms.hosts = 2);
    world.put(0, &entry("a", 1, 1)).unwrap();
    world.put(0, &entry("b", 1, 2)).unwrap();
    assert_eq!(name(world.put(0, &entry("c", 1, 3))), "full");
    assert_eq!(world.put(1, &entry("a", 2, 1)).unwrap(), Learnt::Renewed);
    // One that has gone makes room.
    world.ledger.expire(world.at(15));
    assert_eq!(world.put(15, &entry("c", 15, 3)).unwrap(), Learnt::Changed);
    assert!(world.is_open(15, "192.0.2.7:1") && world.ledger.hosts.len() == 2);
}

#[test]
fn an_endpoint_of_two_hosts_is_open_as_long_as_one_of_them_has_it() {
    let mut world = World::new();
    world.put(0, &entry("a", 1, 4500)).unwrap();
    world.put(5, &entry("b", 1, 4500)).unwrap();
    world.delete(6, "b").unwrap();
    assert!(world.is_open(14, OLD) && !world.is_open(15, OLD));
}

#[test]
fn the_mapped_endpoint_is_open_only_if_asked_for() {
    const MAPPED: &str = "198.51.100.1:4500";
    let mut world = World::new();
    world.put(0, &entry("web", 1, 4500)).unwrap();
    assert!(!world.is_open(0, MAPPED));
    let mut world = World::with(|terms| terms.mapped = true);
    world.put(0, &entry("web", 1, 4500)).unwrap();
    assert!(world.is_open(0, MAPPED) && world.is_open(0, OLD));
    world.put(1, &entry("web", 2, 0)).unwrap();
    assert!(!world.is_open(1, MAPPED));
}

/// The refusal has a name and a counter, and no confirmation tells the host that the port is open.
#[test]
fn a_mapped_endpoint_that_is_not_granted_leaves_the_local_one() {
    let mut world = World::with(|terms| {
        terms.mapped = true;
        terms.grants = Grants::new(vec!["192.0.2.0/24".parse().unwrap()]);
    });
    assert_eq!(name(world.put(0, &entry("web", 1, 4500))), "not_granted");
    assert!(world.is_open(14, OLD) && !world.is_open(0, "198.51.100.1:4500"));
    assert_eq!(
        world.ledger.state(&"web".parse().unwrap(), world.at(0)),
        None
    );
    // An entry that is repeated is no news.
    assert_eq!(world.put(1, &entry("web", 1, 4500)).unwrap(), Learnt::Known);
}

/// After the loss of all servers, the new bucket counts from 1: a renewal there is one.
#[test]
fn a_new_bucket_renews_what_the_old_one_had() {
    let mut world = World::new();
    for second in [0, 5] {
        world.put(second, &entry("web", 1 + second, 4500)).unwrap();
    }
    world.ledger.begin_anew();
    assert_eq!(
        world.put(10, &entry("web", 11, 4500)).unwrap(),
        Learnt::Renewed
    );
    assert!(world.is_open(24, OLD) && !world.is_open(25, OLD));
    // The old entries are known there, too.
    assert_eq!(name(world.put(11, &entry("web", 6, 4500))), "replayed");
}

/// A user who may read lets the server's answer be written into the bucket.
#[test]
fn a_copy_by_the_server_counts_for_nothing() {
    let mut world = World::new();
    let value = entry("web", 1, 4500).encode();
    let news = News {
        key: "web",
        stamp: seconds(1_000_000),
        wall: seconds(1_000_000),
        value: Some(&value),
        is_copy: true,
    };
    assert_eq!(name(world.ledger.learn(&news, world.start)), "copied");
    assert!(!world.is_open(0, OLD));
}
