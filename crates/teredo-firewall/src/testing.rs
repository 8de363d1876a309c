//! A network namespace of a test's own, and `nft` and `ip` in it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Pid, gettid},
};
use serde_json::Value;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a fresh network namespace, which runs what it is given. The namespace ends with it.
pub(crate) struct Namespace {
    jobs: mpsc::Sender<Job>,
    thread: Pid,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("the tests need root for network namespaces");
            ready
                .send(gettid())
                .expect("the test waits for the namespace");
            for job in queue {
                job();
            }
        });
        let thread = started.recv().expect("the thread enters its namespace");
        let namespace = Self { jobs, thread };
        namespace.run(|| ip("link set lo up"));
        namespace
    }

    /// Runs `job` inside; a panic there fails the test as one here would.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = move || {
            let outcome = catch_unwind(AssertUnwindSafe(job));
            // The receiver is gone only if the test is.
            drop(done.send(outcome));
        };
        self.jobs
            .send(Box::new(job))
            .expect("the namespace's thread survives its jobs");
        result
            .recv()
            .expect("every job has an outcome")
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs async code inside.
    pub(crate) fn run_async<T, F>(&self, job: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
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
        let command = format!(
            "link add {name} type veth peer name {other_name} netns {}",
            other.thread
        );
        self.run(move || ip(&command));
    }
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &str) {
    execute("ip", "iproute2", arguments.split_whitespace());
}

/// Waits until an interface can send. The kernel notices a cable's other end with a delay, and
/// drops what is sent before.
pub(crate) fn wait_for_link(interface: &str) {
    let show = ["-j", "link", "show", "dev", interface];
    wait_for("the link is up", Duration::from_secs(10), || {
        execute("ip", "iproute2", show).contains("\"operstate\":\"UP\"")
    });
}

/// Runs `nft` with a ruleset or command.
pub(crate) fn nft(script: &str) {
    execute("nft", "nftables", [script]);
}

/// The ruleset as `nft` writes it, with counters at zero.
pub(crate) fn listing() -> String {
    execute("nft", "nftables", ["--stateless", "list", "ruleset"])
}

/// All sets or chains, listed by an oracle that shares no code with this crate.
///
/// Not all of the ruleset at once: nft 1.0.6 writes broken JSON for a table with an owner.
pub(crate) fn listed(kind: &str) -> Vec<Value> {
    list(&format!("list {kind}s"), kind)
}

/// All rules.
pub(crate) fn rules() -> Vec<Value> {
    let chains = listed("chain");
    let command = |chain: &Value| {
        let [family, table, name] =
            ["family", "table", "name"].map(|key| chain[key].as_str().expect("a string"));
        format!("list chain {family} {table} {name}")
    };
    chains
        .iter()
        .flat_map(|chain| list(&command(chain), "rule"))
        .collect()
}

fn list(command: &str, kind: &str) -> Vec<Value> {
    let output = execute("nft", "nftables", ["-j", command]);
    let answer: Value = serde_json::from_str(&output).expect("nft writes JSON");
    let objects = answer["nftables"]
        .as_array()
        .expect("nft lists objects")
        .clone();
    objects
        .into_iter()
        .filter_map(|mut object| object.get_mut(kind).map(Value::take))
        .collect()
}

/// The elements of the set with that name, as `nft` has them: a number, or an object with the
/// timeout. None if there is no such set.
pub(crate) fn elements(set: &str) -> Vec<Value> {
    let sets = listed("set")
        .into_iter()
        .filter(|object| object["name"] == set);
    let names = |set: &Value| {
        ["family", "table", "name"].map(|key| set[key].as_str().expect("a string").to_owned())
    };
    let commands = sets.map(|set| format!("list set {}", names(&set).join(" ")));
    let contents = commands.flat_map(|command| list(&command, "set"));
    contents
        .flat_map(|set| set["elem"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// The ports in a set, whether or not they have a timeout.
pub(crate) fn ports(set: &str) -> Vec<u64> {
    let port = |element: &Value| element.as_u64().or_else(|| element["elem"]["val"].as_u64());
    elements(set)
        .iter()
        .map(|element| port(element).expect("an element is a port"))
        .collect()
}

/// The packets counted by the first rule in whose listing all `marks` occur.
pub(crate) fn counted(marks: &[&str]) -> u64 {
    let rules = rules();
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
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::yield_now();
    }
}

fn execute<'a>(
    program: &str,
    package: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> String {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {program}, which the package {package} has: {error}"),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
