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
            ready.send(gettid()).expect("the test waits for the namespace");
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
        self.jobs.send(Box::new(job)).expect("the namespace's thread survives its jobs");
        result.recv().expect("every job has an outcome").unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs async code inside.
    pub(crate) fn run_async<T, F>(&self, job: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime on this thread").block_on(job())
        })
    }

    /// Connects two namespaces by a cable.
    pub(crate) fn connect(&self, name: &str, other: &Self, other_name: &str) {
        let command = format!("link add {name} type veth peer name {other_name} netns {}", other.thread);
        self.run(move || ip(&command));
    }
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &str) {
    execute("ip", "iproute2", arguments.split_whitespace());
}

/// Runs `nft` with a ruleset or command.
pub(crate) fn nft(script: &str) {
    execute("nft", "nftables", [script]);
}

/// The objects of one kind that `nft` lists, by an oracle that shares no code with this crate.
pub(crate) fn listed(kind: &str) -> Vec<Value> {
    let output = execute("nft", "nftables", ["-j", "list", "ruleset"]);
    let ruleset: Value = serde_json::from_str(&output).expect("nft writes JSON");
    let objects = ruleset["nftables"].as_array().expect("nft lists objects").clone();
    objects.into_iter().filter_map(|mut object| object.get_mut(kind).map(Value::take)).collect()
}

/// The elements of a set, as `nft` has them: a number, or an object with the timeout.
pub(crate) fn elements(set: &str) -> Vec<Value> {
    let set = listed("set").into_iter().find(|object| object["name"] == set);
    let set = set.expect("the set exists");
    set["elem"].as_array().cloned().unwrap_or_default()
}

/// The ports in a set, whether or not they have a timeout.
pub(crate) fn ports(set: &str) -> Vec<u64> {
    let port = |element: &Value| element.as_u64().or_else(|| element["elem"]["val"].as_u64());
    elements(set).iter().map(|element| port(element).expect("an element is a port")).collect()
}

/// The packets counted by the first rule in whose listing all `marks` occur.
pub(crate) fn counted(marks: &[&str]) -> u64 {
    let rules = listed("rule");
    let rule = rules.iter().find(|rule| {
        let text = rule.to_string();
        marks.iter().all(|mark| text.contains(mark))
    });
    let rule = rule.unwrap_or_else(|| panic!("no rule with {marks:?} in {rules:#?}"));
    let counter = rule["expr"].as_array().into_iter().flatten().find_map(|step| step.get("counter"));
    counter.expect("the rule counts")["packets"].as_u64().expect("a count is a number")
}

/// Waits until the condition holds, and fails the test if that takes longer than `limit`.
pub(crate) fn wait_for(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::yield_now();
    }
}

fn execute<'a>(program: &str, package: &str, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {program}, which the package {package} has: {error}"),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
