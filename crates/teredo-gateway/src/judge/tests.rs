use super::*;
use crate::mapping::Protocol;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

fn wanted() -> Wanted {
    Wanted {
        gateway: GATEWAY,
        local: "192.168.1.7:40000".parse().unwrap(),
    }
}

fn judged(external: &str, lifetime: Option<u32>) -> Result<Mapping, Refusal> {
    let mapping = Mapping {
        external: external.parse().unwrap(),
        lifetime,
        ..Mapping::intended(wanted(), Protocol::Upnp)
    };
    credible(mapping, wanted())
}

/// R6081-5.3.3-05: the addresses that a lying router may name.
#[test]
fn an_address_that_cannot_be_outside_is_refused() {
    for lie in [
        "0.0.0.0:40000",
        "0.1.2.3:40000",
        "127.0.0.1:40000",
        "169.254.1.1:40000",
        "224.0.0.1:40000",
        "239.255.255.250:40000",
        "255.255.255.255:40000",
        "192.168.1.7:40000",
        "192.168.1.1:40000",
        "192.0.2.1:0",
    ] {
        assert_eq!(
            judged(lie, None),
            Err(Refusal::Incredible(lie.parse().unwrap())),
            "{lie}"
        );
    }
    for truth in [
        "192.0.2.1:40000",
        "192.0.2.1:1",
        "100.64.0.2:40000",
        "10.0.0.9:9",
    ] {
        assert!(judged(truth, None).is_ok(), "{truth}");
    }
}

#[test]
fn a_lifetime_that_would_keep_the_client_asking_is_refused() {
    assert_eq!(
        judged("192.0.2.1:40000", Some(29)),
        Err(Refusal::ShortLived(29))
    );
    assert!(judged("192.0.2.1:40000", Some(30)).is_ok());
    assert!(judged("192.0.2.1:40000", Some(u32::MAX)).is_ok());
}

#[test]
fn a_router_with_a_public_address_is_not_asked() {
    for home in [
        "192.168.1.1",
        "10.0.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.0.1",
    ] {
        assert!(is_home_router(home.parse().unwrap()), "{home}");
    }
    for provider in ["192.0.2.1", "100.128.0.1", "172.32.0.1", "8.8.8.8"] {
        assert!(!is_home_router(provider.parse().unwrap()), "{provider}");
    }
}
