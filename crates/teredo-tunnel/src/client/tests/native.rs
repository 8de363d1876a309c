//! Sunset: no port while there is native IPv6.

use super::*;
use crate::netns::isolated;

const NATIVE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

fn state(bench: &Bench) -> State {
    bench.status().client.state
}

/// R4380-5.5-01, N-16: a running client gives its port up and says so; when native IPv6 is gone it has one again,
/// announced before it is used.
#[test]
fn native_ipv6_makes_the_client_dormant_and_its_end_wakes_it() {
    isolated(|| {
        addresses();
        let _server = server();
        let bench = Bench::new(config(), Announcements::at_once());
        bench.expect_address();
        bench.client.set_native(Some(NATIVE));
        bench.expect("address down", |event| {
            matches!(event, ClientEvent::Node(Event::AddressDown { .. })).then_some(())
        });
        let status = bench.status();
        assert_eq!((status.client.state, status.port), (State::Dormant, 0));
        assert_eq!(bench.announcements.ports()[1..], [0]);
        // Neither a rebind nor a start overrules it.
        for outcome in [
            block_on(bench.client.rebind(None)),
            block_on(bench.client.start()),
        ] {
            assert!(
                matches!(outcome, Err(ChangeError::Dormant(NATIVE))),
                "{outcome:?}"
            );
        }
        bench.client.set_native(None);
        bench.expect_address();
        assert_eq!(state(&bench), State::Qualified);
        assert_eq!(bench.announcements.ports().len(), 3);
    });
}

/// R4380-5.5-01: a client that starts with native IPv6 binds no port and announces none.
#[test]
fn a_client_may_start_dormant() {
    isolated(|| {
        addresses();
        let _server = server();
        let config = ClientPathConfig {
            native: Some(NATIVE),
            ..config()
        };
        let bench = Bench::new(config, Announcements::at_once());
        assert_eq!(state(&bench), State::Dormant);
        bench.client.network_changed(CLIENT, Attached::default());
        bench.client.set_servers(vec![server_address()]);
        bench.go_round();
        assert_eq!(bench.status().port, 0);
        assert!(bench.announcements.ports().is_empty());
        bench.client.set_native(None);
        bench.expect_address();
        assert_eq!(bench.announcements.ports().len(), 1);
    });
}

/// R6169-2.1-01: who stops a client has it stopped, whatever becomes of native IPv6.
#[test]
fn a_stopped_client_does_not_wake_up() {
    isolated(|| {
        addresses();
        let bench = Bench::new(config(), Announcements::at_once());
        bench.client.set_native(Some(NATIVE));
        assert_eq!(block_on(bench.client.stop()).unwrap().port, 0);
        assert_eq!(state(&bench), State::Offline);
        bench.client.set_native(None);
        bench.go_round();
        assert_eq!((state(&bench), bench.status().port), (State::Offline, 0));
        // And the other way round: stopped first.
        bench.client.set_native(Some(NATIVE));
        bench.go_round();
        assert_eq!(state(&bench), State::Offline);
        assert!(block_on(bench.client.start()).is_err());
        assert_eq!(state(&bench), State::Dormant);
        bench.client.set_native(None);
        bench.expect_port();
    });
}

/// R4380-5.5-01, N-16: native IPv6 that comes in the middle of a rebind ends it. The new port was announced, so its end
/// is, once; who stops the client before that is confirmed waits for it.
#[test]
fn native_ipv6_in_the_middle_of_a_rebind() {
    isolated(|| {
        addresses();
        let bench = Bench::new(config(), Announcements::at_once());
        let (first, _) = bench.expect_port();
        bench.announcements.hold();
        let rebind = bench.client.rebind(None);
        let second = bench.announcements.wait(2)[1];
        bench.client.set_native(Some(NATIVE));
        assert!(matches!(block_on(rebind), Err(ChangeError::Superseded)));
        assert_eq!(bench.announcements.wait(3), [first, second, 0]);
        assert_eq!(
            (state(&bench), bench.status().port),
            (State::Dormant, 0),
            "nothing is held open for those who are to confirm"
        );

        let mut stop = std::pin::pin!(bench.client.stop());
        bench.go_round();
        let soon = std::task::Waker::noop();
        let early = stop
            .as_mut()
            .poll(&mut std::task::Context::from_waker(soon));
        assert!(early.is_pending(), "{early:?}");
        bench.announcements.settle(&bench.client.waker());
        let stopped = block_on(stop).unwrap();
        assert_eq!((stopped.port, stopped.settled), (0, true));
        bench.go_round();
        assert_eq!(bench.announcements.ports(), [first, second, 0]);
        assert_eq!(state(&bench), State::Offline);
    });
}

/// R6169-2.1-01: a dormant client whose port could not be had when native IPv6 went can be started and stopped like any
/// other.
#[test]
fn a_client_that_could_not_wake_up_is_started_and_stopped() {
    isolated(|| {
        let config = ClientPathConfig {
            native: Some(NATIVE),
            ..config()
        };
        let bench = Bench::new(config, Announcements::at_once());
        // There is no such address yet.
        bench.client.set_native(None);
        assert_eq!(state(&bench), State::Dormant);
        addresses();
        let port = block_on(bench.client.start()).unwrap().port;
        bench.client.network_changed(CLIENT, Attached::default());
        assert_eq!(bench.status().port, port);
        assert_eq!(bench.announcements.ports(), [port]);
        assert_eq!(block_on(bench.client.stop()).unwrap().port, 0);
        assert_eq!((state(&bench), bench.status().port), (State::Offline, 0));
        assert_eq!(bench.announcements.ports(), [port, 0]);
    });
}
