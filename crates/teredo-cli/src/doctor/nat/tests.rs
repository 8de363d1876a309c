use super::*;
use crate::doctor::check::Verdict;
use crate::doctor::tests::{check, healthy};
use teredo_notify::types::Phase;

#[test]
fn a_symmetric_nat_is_a_failure_of_a_client_that_is_not_qualified() {
    let mut seen = healthy();
    seen.status_mut().reason = Some("symmetric NAT: mapped to 1.2.3.4:5 and 1.2.3.4:6".into());
    assert_eq!(check(&seen, id::NAT_MAPPING).result, Verdict::Ok);
    seen.status_mut().state = Phase::Offline;
    assert_eq!(check(&seen, id::NAT_MAPPING).result, Verdict::Fail);
}

#[test]
fn the_small_link_is_this_hosts_or_one_behind_it() {
    let mut seen = healthy();
    seen.server.path_limit = Some(1272);
    let found = check(&seen, id::PATH_MTU);
    assert_eq!(
        (found.result, found.fix.as_str()),
        (Verdict::Warn, "tracepath -n 192.0.2.45")
    );
    assert!(found.what.contains("1300"), "{found:?}");
    seen.server.link_limit = Some(1272);
    assert_eq!(check(&seen, id::PATH_MTU).fix, "ip link set eth0 mtu 1500");
}

#[test]
fn the_clients_word_on_the_path_counts() {
    let mut seen = healthy();
    seen.status_mut().reason = Some(
        "the path to the server takes packets of up to 1252 bytes, not 1280: longer ones".into(),
    );
    let found = check(&seen, id::PATH_MTU);
    assert_eq!(found.result, Verdict::Warn);
    assert!(
        found
            .what
            .contains("1280 bytes, and a full tunnel packet has 1308"),
        "{found:?}"
    );
    assert_eq!(check(&seen, id::SERVICE_STATE).result, Verdict::Ok);
}

#[test]
fn refused_offloads_are_a_warning() {
    let mut seen = healthy();
    seen.host.offload = [false, true];
    let found = check(&seen, id::PATH_OFFLOAD);
    assert_eq!(found.result, Verdict::Warn);
    assert!(found.what.contains("UDP_SEGMENT"), "{found:?}");
    seen.settings.client.offload = teredo_tunnel::offload::Offload::Off;
    assert_eq!(check(&seen, id::PATH_OFFLOAD).result, Verdict::Ok);
}
