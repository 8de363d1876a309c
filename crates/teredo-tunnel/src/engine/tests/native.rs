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
        bench.engine.set_native(Some(NATIVE));
        bench.expect("address down", |event| {
            matches!(event, EngineEvent::Client(Event::AddressDown { .. })).then_some(())
        });
        let status = bench.status();
        assert_eq!((status.client.state, status.port), (State::Dormant, 0));
        assert_eq!(bench.announcements.ports()[1..], [0]);
        // Neither a rebind nor a start overrules it.
        for outcome in [
            block_on(bench.engine.rebind(None)).unwrap_err().to_string(),
            block_on(bench.engine.start()).unwrap_err().to_string(),
        ] {
            assert!(
                outcome.contains("stopped") || outcome.contains("2001:db8::5"),
                "{outcome}"
            );
        }
        bench.engine.set_native(None);
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
        let config = EngineConfig {
            native: Some(NATIVE),
            ..config()
        };
        let bench = Bench::new(config, Announcements::at_once());
        assert_eq!(state(&bench), State::Dormant);
        bench.engine.network_changed(CLIENT, Attached::default());
        bench.engine.set_servers(vec![server_address()]);
        bench.go_round();
        assert_eq!(bench.status().port, 0);
        assert_eq!(bench.announcements.ports(), []);
        bench.engine.set_native(None);
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
        bench.engine.set_native(Some(NATIVE));
        assert_eq!(block_on(bench.engine.stop()).unwrap().port, 0);
        assert_eq!(state(&bench), State::Offline);
        bench.engine.set_native(None);
        bench.go_round();
        assert_eq!((state(&bench), bench.status().port), (State::Offline, 0));
        // And the other way round: stopped first.
        bench.engine.set_native(Some(NATIVE));
        bench.go_round();
        assert_eq!(state(&bench), State::Offline);
        assert!(block_on(bench.engine.start()).is_err());
        assert_eq!(state(&bench), State::Dormant);
        bench.engine.set_native(None);
        bench.expect_port();
    });
}
