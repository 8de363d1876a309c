//! Searches whose answers come in an order; loopback has no device that the search itself would not refuse.

use std::collections::HashMap;
use std::future::ready;

use super::*;

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

type Answer = Result<Gateway<Tokio>, SearchError>;

fn at(address: [u8; 4]) -> Answer {
    Ok(Gateway {
        addr: (address, 5000).into(),
        root_url: String::new(),
        control_url: String::new(),
        control_schema_url: String::new(),
        control_schema: HashMap::new(),
        service_type: String::new(),
        provider: Tokio,
    })
}

/// An answer that comes after one that is ready.
async fn later(answer: Answer) -> Answer {
    tokio::task::yield_now().await;
    answer
}

fn found(
    to_one: impl Future<Output = Answer>,
    to_all: impl Future<Output = Answer>,
) -> Option<IpAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let is_router = |device: &Gateway<Tokio>| device.addr.ip() == IpAddr::V4(ROUTER);
    let device = runtime.unwrap().block_on(router(to_one, to_all, is_router));
    device.map(|device| device.addr.ip())
}

/// R6081-5.3.3-02: another device with UPnP on the link does not hide the router, however fast it is.
#[test]
fn a_faster_device_of_another_host_does_not_hide_the_router() {
    let other = || at([192, 168, 1, 9]);
    let router = || at(ROUTER.octets());
    let expected = Some(IpAddr::V4(ROUTER));
    assert_eq!(found(later(router()), ready(other())), expected);
    assert_eq!(found(ready(other()), later(router())), expected);
    assert_eq!(
        found(
            later(router()),
            ready(Err(SearchError::NoResponseWithinTimeout))
        ),
        expected
    );
    assert_eq!(found(ready(other()), later(other())), None);
}
