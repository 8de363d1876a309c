//! Tests on the real kernel, each in a network namespace of its own.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `test` on a thread in a fresh network namespace whose loopback interface is up. Takes root.
pub(crate) fn isolated(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .expect("network namespaces take root");
        netlink(async |handle| set_up(&handle, "lo").await);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a future on a runtime of the calling thread, and thereby in its namespace.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Runs something with route netlink.
pub(crate) fn netlink<T>(work: impl AsyncFnOnce(Handle) -> T) -> T {
    block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        let connection = tokio::spawn(connection);
        let result = work(handle).await;
        connection.abort();
        result
    })
}

/// The index of the interface `name`, if it exists.
pub(crate) async fn index(handle: &Handle, name: &str) -> Option<u32> {
    let mut links = std::pin::pin!(handle.link().get().match_name(name).execute());
    Some(links.try_next().await.ok()??.header.index)
}

pub(crate) async fn set_up(handle: &Handle, name: &str) {
    handle
        .link()
        .change(LinkUnspec::new_with_name(name).up().build())
        .execute()
        .await
        .unwrap();
}

pub(crate) async fn add_address(
    handle: &Handle,
    name: &str,
    address: impl Into<IpAddr>,
    prefix_len: u8,
) {
    let index = index(handle, name).await.unwrap();
    handle
        .address()
        .add(index, address.into(), prefix_len)
        .execute()
        .await
        .unwrap();
}

pub(crate) async fn add_default_route(handle: &Handle, gateway: Ipv4Addr) {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .build();
    handle.route().add(route).execute().await.unwrap();
}

/// Waits until `condition` holds.
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    teredo_lab::until(PATIENCE, what, condition).expect("the condition holds in time")
}
