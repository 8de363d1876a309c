//! The life of the service port.

use super::*;
use crate::netns::{eventually, index, isolated};

/// N-16: nothing leaves before the first announcement is settled, and the port that it leaves from is the one
/// that was announced.
#[test]
fn nothing_leaves_before_the_port_is_settled() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::default());
        let port = bench.announcements.wait(1)[0];
        bench.go_round();
        assert!(!has_received(&server));
        assert_eq!(bench.status().port, 0);

        bench.announcements.settle(&bench.client.waker());
        assert_eq!(sender_of_next(&server), SocketAddrV4::new(CLIENT, port));
        assert_eq!(bench.expect_port(), (port, None));
        assert_eq!(bench.status().port, port);
        assert_eq!(bench.status().counters.settle_misses, 0);
    });
}

/// N-16: a subscriber that does not settle in time is told of and counted, and the client goes on.
#[test]
fn a_missed_deadline_is_counted_and_does_not_stop_the_client() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let settle_deadline = Duration::from_millis(30);
        let bench = Bench::new(
            ClientPathConfig {
                settle_deadline,
                ..config()
            },
            Announcements::default(),
        );
        let missed = bench.expect("settle missed", |event| match event {
            ClientEvent::SettleMissed {
                sequence,
                port,
                waited,
            } => Some((*sequence, *port, *waited)),
            _ => None,
        });
        let port = bench.announcements.ports()[0];
        assert_eq!(missed, (1, port, settle_deadline));
        assert_eq!(sender_of_next(&server).port(), port);
        assert_eq!(bench.status().counters.settle_misses, 1);
    });
}

/// N-16: while a new port waits to be settled nothing leaves from either, and then only from the new one.
#[test]
fn a_rebind_makes_before_it_breaks() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let old = sender_of_next(&server).port();
        bench.announcements.hold();

        let rebind = bench.client.rebind(None);
        let new = bench.announcements.wait(2)[1];
        assert_ne!(new, old);
        bench.go_round();
        while has_received(&server) {
            assert_eq!(sender_of_next(&server).port(), old);
        }
        // A change of the network would have it solicit at once; not now.
        bench.client.network_changed(CLIENT, Attached::default());
        bench.go_round();
        assert!(!has_received(&server));
        assert_eq!(bench.status().port, old);

        bench.announcements.settle(&bench.client.waker());
        let change = block_on(rebind).unwrap();
        assert_eq!(
            change,
            PortChange {
                port: new,
                settled: true,
                fell_back: None
            }
        );
        assert_eq!(sender_of_next(&server), SocketAddrV4::new(CLIENT, new));
        assert_eq!(bench.announcements.ports(), [old, new]);
        // The old port is closed.
        std::net::UdpSocket::bind((CLIENT, old)).unwrap();
    });
}

/// N-16
#[test]
fn a_rebind_to_the_port_in_use_qualifies_anew_without_an_announcement() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let port = sender_of_next(&server).port();
        let change = block_on(bench.client.rebind(Some(port))).unwrap();
        assert_eq!(
            change,
            PortChange {
                port,
                settled: true,
                fell_back: None
            }
        );
        assert_eq!(sender_of_next(&server).port(), port);
        assert_eq!(bench.announcements.ports(), [port]);
    });
}

#[test]
fn a_later_rebind_supersedes_one_that_is_not_settled() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let old = sender_of_next(&server).port();
        bench.announcements.hold();
        let first = bench.client.rebind(None);
        let second = bench.client.rebind(None);
        assert!(matches!(block_on(first), Err(ChangeError::Superseded)));
        let ports = bench.announcements.wait(3);
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(block_on(second).unwrap().port, ports[2]);
        let mut senders = vec![sender_of_next(&server).port()];
        while *senders.last().unwrap() != ports[2] {
            senders.push(sender_of_next(&server).port());
        }
        // The one in between was never used.
        assert!(
            senders.iter().all(|port| [old, ports[2]].contains(port)),
            "{senders:?} of {ports:?}"
        );
    });
}

#[test]
fn a_rebind_before_the_first_port_is_settled_is_the_first_port() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::default());
        bench.announcements.wait(1);
        let rebind = bench.client.rebind(None);
        let ports = bench.announcements.wait(2);
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(block_on(rebind).unwrap().port, ports[1]);
        assert_eq!(sender_of_next(&server).port(), ports[1]);
    });
}

/// A port that cannot be had changes nothing, not even a change that is under way.
#[test]
fn a_rebind_that_is_refused_leaves_the_first_port_under_way() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let other = std::net::UdpSocket::bind((CLIENT, 0)).unwrap();
        let wanted = other.local_addr().unwrap().port();
        let bench = Bench::new(config(), Announcements::default());
        let first = bench.announcements.wait(1)[0];
        let refused = block_on(bench.client.rebind(Some(wanted))).unwrap_err();
        assert!(
            matches!(refused, ChangeError::Bind(BindError::InUse { .. })),
            "{refused}"
        );
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(sender_of_next(&server).port(), first);
        assert_eq!(bench.announcements.ports(), [first]);
    });
}

/// Who asks for what is under way waits for it, and disturbs nobody.
#[test]
fn a_change_that_is_under_way_is_joined() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::default());
        let first = bench.announcements.wait(1)[0];
        let started = bench.client.start();
        let rebound = bench.client.rebind(Some(first));
        bench.go_round();
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(block_on(started).unwrap().port, first);
        assert_eq!(block_on(rebound).unwrap().port, first);
        assert_eq!(sender_of_next(&server).port(), first);
        assert_eq!(bench.announcements.ports(), [first]);
    });
}

#[test]
fn a_port_in_use_is_no_reason_to_die() {
    isolated(|| {
        addresses();
        let _server = mute_server();
        let other = std::net::UdpSocket::bind((CLIENT, 0)).unwrap();
        let wanted = other.local_addr().unwrap().port();
        let bench = Bench::new(
            ClientPathConfig {
                port: Some(wanted),
                ..config()
            },
            Announcements::at_once(),
        );
        let (port, fell_back) = bench.expect_port();
        assert_ne!(port, wanted);
        let fell_back = fell_back.expect("a reason");
        assert_eq!(fell_back.wanted, wanted);
        assert!(fell_back.reason.contains("in use"), "{}", fell_back.reason);

        let refused = block_on(bench.client.rebind(Some(wanted))).unwrap_err();
        assert!(
            matches!(refused, ChangeError::Bind(BindError::InUse { port, .. }) if port == wanted),
            "{refused}"
        );
        assert_eq!(bench.status().port, port);
        drop(other);
        assert_eq!(
            block_on(bench.client.rebind(Some(wanted))).unwrap().port,
            wanted
        );
    });
}

#[test]
fn a_foreign_address_is_an_error() {
    isolated(|| {
        let tun = Tun::open(None).unwrap();
        let error = ClientHandle::spawn(tun, config(), Box::new(Announcements::at_once()), |_| ())
            .unwrap_err();
        let foreign = BindError::AddressNotAvailable { address: CLIENT };
        assert_eq!(error.to_string(), foreign.to_string());
    });
}

/// N-16: the end of the port is announced when nothing can leave from it any more.
#[test]
fn stopping_closes_the_port_and_announces_0() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let port = sender_of_next(&server).port();
        bench.announcements.hold();

        let stop = bench.client.stop();
        assert_eq!(bench.announcements.wait(2), [port, 0]);
        std::net::UdpSocket::bind((CLIENT, port)).unwrap();
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(
            block_on(stop).unwrap(),
            PortChange {
                port: 0,
                settled: true,
                fell_back: None
            }
        );
        let status = bench.status();
        assert_eq!((status.port, status.client.state), (0, State::Offline));

        assert!(matches!(
            block_on(bench.client.rebind(None)),
            Err(ChangeError::Stopped)
        ));
        assert_eq!(block_on(bench.client.stop()).unwrap().port, 0);
        assert_eq!(bench.announcements.ports(), [port, 0]);

        let start = bench.client.start();
        let again = bench.announcements.wait(3)[2];
        while has_received(&server) {
            assert_eq!(sender_of_next(&server).port(), port);
        }
        bench.announcements.settle(&bench.client.waker());
        assert_eq!(block_on(start).unwrap().port, again);
        assert_eq!(sender_of_next(&server).port(), again);
        assert_eq!(block_on(bench.client.start()).unwrap().port, again);
    });
}

#[test]
fn shutting_down_announces_0_and_leaves_nothing() {
    isolated(|| {
        addresses();
        let server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let port = sender_of_next(&server).port();
        drop(bench.client);
        assert_eq!(bench.announcements.ports(), [port, 0]);
        std::net::UdpSocket::bind((CLIENT, port)).unwrap();
        assert_eq!(netlink(async |handle| index(&handle, "teredo").await), None);
    });
}

/// A port that was announced and never used is taken back, too.
#[test]
fn shutting_down_takes_back_an_unsettled_announcement() {
    isolated(|| {
        addresses();
        let bench = Bench::new(config(), Announcements::default());
        let port = bench.announcements.wait(1)[0];
        let rebind = bench.client.rebind(None);
        let announcements = bench.announcements.clone();
        drop(bench);
        let ports = announcements.ports();
        assert_eq!((ports[0], ports.last()), (port, Some(&0)));
        assert!(matches!(block_on(rebind), Err(ChangeError::Superseded)));
    });
}

#[test]
fn a_deleted_interface_ends_the_engine_and_the_port() {
    isolated(|| {
        addresses();
        let _server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let (port, _) = bench.expect_port();
        netlink(async |handle| {
            let index = index(&handle, "teredo").await.unwrap();
            handle.link().del(index).execute().await.unwrap();
        });
        bench.expect("interface lost", |event| {
            (*event == ClientEvent::InterfaceLost).then_some(())
        });
        eventually("the end", || bench.client.is_finished().then_some(()));
        assert_eq!(bench.announcements.ports(), [port, 0]);
        assert!(matches!(
            block_on(bench.client.rebind(None)),
            Err(ChangeError::Ended)
        ));
        assert_eq!(block_on(bench.client.status()), None);
    });
}

/// N-11: a thread that panics says that it ended, and not that the interface was deleted; its port is closed and the
/// end announced.
#[test]
fn a_panic_is_reported_as_an_end_and_closes_the_port() {
    isolated(|| {
        addresses();
        let _server = mute_server();
        let bench = Bench::new(config(), Announcements::at_once());
        let (port, _) = bench.expect_port();
        bench.announcements.panic_next();
        let rebind = bench.client.rebind(None);
        bench.expect("the end", |event| {
            (*event == ClientEvent::Ended).then_some(())
        });
        eventually("the end", || bench.client.is_finished().then_some(()));
        assert_eq!(bench.announcements.ports(), [port, 0]);
        std::net::UdpSocket::bind((CLIENT, port)).unwrap();
        assert!(matches!(block_on(rebind), Err(ChangeError::Ended)));
        assert!(
            bench
                .events
                .try_iter()
                .all(|event| event != ClientEvent::InterfaceLost)
        );
    });
}
