use std::collections::BTreeSet;

use super::*;

const LIST: &str = include_str!("../../../../docs/conformance.toml");

/// The rules of RFC 6081 that the list of requirements leaves out, because they belong to optional extensions.
const OPTIONAL: &[&str] = &["R6081-4.3-02", "R6081-5.2.4.2-01", "R6081-5.2.4.2-02"];

#[test]
fn each_id_is_a_requirement_or_a_name() {
    for Rule { id, .. } in Rule::ALL {
        let is_listed = LIST.contains(&format!("[\"{id}\""));
        let is_name = id.starts_with("stall.") || id.starts_with("packet.");
        assert!(is_listed || is_name || OPTIONAL.contains(id), "{id}");
    }
    let different: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id).collect();
    assert_eq!(different.len(), Rule::ALL.len(), "no ID twice");
}
