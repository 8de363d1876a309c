//! The program `nft` as an oracle for tests: it reads and writes rulesets and shares no code with this project.
//!
//! The tests of the firewall use this file too. Every function acts on the network namespace of the calling thread, and
//! panics if `nft` is missing (the package nftables) or fails.

use std::process::Command;

use serde_json::Value;

/// Runs a ruleset or command: `add element inet filter ports { 53 }`.
pub(crate) fn run(script: &str) {
    execute(&[script]);
}

/// The whole ruleset as `nft` writes it, without the values of counters.
pub(crate) fn ruleset() -> String {
    execute(&["--stateless", "list", "ruleset"])
}

/// All objects of one kind, such as `chain` or `set`, in the JSON of libnftables-json(5).
///
/// One kind at a time, because nft 1.0.6 writes broken JSON for a table that has an owner.
pub(crate) fn objects(kind: &str) -> Vec<Value> {
    list(&format!("{kind}s"), kind)
}

/// All rules, chain by chain.
pub(crate) fn rules() -> Vec<Value> {
    let chains = objects("chain");
    let rules = |chain| list(&format!("chain {}", path(chain)), "rule");
    chains.iter().flat_map(rules).collect()
}

/// The elements of all sets with this name: each is its value, or an object if it has a timeout. Empty if there is no
/// such set.
pub(crate) fn elements(set: &str) -> Vec<Value> {
    let sets = objects("set");
    let named = sets.iter().filter(|object| object["name"] == set);
    let contents = named.flat_map(|object| list(&format!("set {}", path(object)), "set"));
    contents
        .flat_map(|set| set["elem"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// The ports in a set of the type `inet_service`, whether or not they have a timeout.
pub(crate) fn ports(set: &str) -> Vec<u64> {
    let port = |element: &Value| element.as_u64().or_else(|| element["elem"]["val"].as_u64());
    elements(set)
        .iter()
        .map(|element| port(element).expect("an element is a port"))
        .collect()
}

/// `FAMILY TABLE NAME` of an object.
fn path(object: &Value) -> String {
    ["family", "table", "name"]
        .map(|key| object[key].as_str().expect("a string"))
        .join(" ")
}

fn list(what: &str, kind: &str) -> Vec<Value> {
    let output = execute(&["-j", "list", what]);
    let mut answer: Value = serde_json::from_str(&output).expect("nft writes JSON");
    answer["nftables"]
        .as_array_mut()
        .expect("nft lists objects")
        .iter_mut()
        .filter_map(|object| object.get_mut(kind).map(Value::take))
        .collect()
}

fn execute(arguments: &[&str]) -> String {
    let output = match Command::new("nft").args(arguments).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run nft, of the package nftables: {error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "nft {arguments:?} failed: {errors}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
