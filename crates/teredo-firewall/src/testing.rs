//! A network namespace for one test, and waits for events in it.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::nft_program;

/// A [`teredo_lab::Namespace`] whose failures fail the test.
pub(crate) struct Namespace(teredo_lab::Namespace);

impl Namespace {
    pub(crate) fn new() -> Self {
        Self(teredo_lab::Namespace::new().expect("the tests need root for network namespaces"))
    }

    /// Runs `job` inside; a panic there fails the test as one here would.
    pub(crate) fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.0.run(job).expect("a thread enters the namespace")
    }

    /// Runs async code inside.
    pub(crate) fn run_async<T, F>(&self, job: impl FnOnce() -> F + Send) -> T
    where
        T: Send,
        F: Future<Output = T>,
    {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime on this thread").block_on(job())
        })
    }

    /// Connects two namespaces by a cable.
    pub(crate) fn connect(&self, name: &str, other: &Self, other_name: &str) {
        let cable = self.0.connect(name, &other.0, other_name);
        cable.expect("a cable can be made");
    }
}

/// Takes CAP_NET_ADMIN from the calling thread alone.
pub(crate) fn drop_net_admin() {
    set_net_admin(false);
}

/// Gives it back.
pub(crate) fn regain_net_admin() {
    set_net_admin(true);
}

fn set_net_admin(has: bool) {
    let mut sets = capabilities(None).expect("a thread may ask for its capabilities");
    sets.effective.set(CapabilitySet::NET_ADMIN, has);
    set_capabilities(None, sets).expect("a thread may give up a capability");
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &str) {
    execute_ip(arguments);
}

/// Waits until an interface can send. The kernel notices a cable's other end with a delay, and
/// drops what is sent before.
pub(crate) fn wait_for_link(interface: &str) {
    let show = format!("-j link show dev {interface}");
    wait_for("the link is up", Duration::from_secs(10), || {
        execute_ip(&show).contains("\"operstate\":\"UP\"")
    });
}

/// The packets counted by the first rule in whose listing all `marks` occur.
pub(crate) fn counted(marks: &[&str]) -> u64 {
    let rules = nft_program::rules();
    let rule = rules.iter().find(|rule| {
        let text = rule.to_string();
        marks.iter().all(|mark| text.contains(mark))
    });
    let rule = rule.unwrap_or_else(|| panic!("no rule with {marks:?} in {rules:#?}"));
    let counter = rule["expr"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|step| step.get("counter"));
    counter.expect("the rule counts")["packets"]
        .as_u64()
        .expect("a count is a number")
}

/// Lets a packet be received, or the agent act, and fails the test if the condition does not hold
/// within `limit`.
pub(crate) async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::task::yield_now().await;
    }
}

/// Waits until the condition holds, and fails the test if that takes longer than `limit`.
pub(crate) fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let found = teredo_lab::until(limit, what, || condition().then_some(()));
    found.expect("the condition holds in time");
}

fn execute_ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output();
    let output = output.expect("ip runs, of the package iproute2");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments} failed: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Commands of another program that open the inside of the tunnel, or remove what closes it.
pub(crate) const OPENINGS: [&str; 11] = [
    "flush ruleset",
    "delete table inet teredo",
    "flush chain inet teredo input",
    "flush chain inet teredo forward",
    "flush chain inet teredo inside",
    "flush set inet teredo tunnels",
    "flush set inet teredo closed_forward",
    "insert rule inet teredo inside accept",
    "flush chain inet teredo input; add rule inet teredo input iifname @tunnels accept",
    "flush chain inet teredo inside; add rule inet teredo inside accept; \
     add rule inet teredo inside accept; add rule inet teredo inside accept; \
     add rule inet teredo inside drop",
    "add table inet teredo { flags dormant; }",
];
