use super::*;

#[test]
fn drops_are_told_by_name() {
    let mut drops = DropCounters::default();
    assert_eq!(dropped(&drops), "none");
    drops.count(teredo::DropReason::Malformed);
    drops.count(teredo::DropReason::Malformed);
    drops.count(teredo::DropReason::SelfLoop);
    assert_eq!(dropped(&drops), "3 (malformed 2, self_loop 1)");
}
