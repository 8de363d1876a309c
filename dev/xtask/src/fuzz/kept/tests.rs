use std::collections::BTreeSet;

use super::{OTHERS, choose, decode, encode};

#[test]
fn the_shortest_come_first_and_come_back() {
    let needed = BTreeSet::from([vec![2, 1], vec![], vec![0; 300], vec![9]]);
    let text = encode(choose(needed, BTreeSet::new()));
    assert!(text.starts_with("CQ==\nAgE=\n"));
    assert_eq!(
        decode(&text).expect("as written"),
        [vec![9], vec![2, 1], vec![0; 300]]
    );
}

#[test]
fn the_needed_are_kept_however_long_and_others_while_there_is_room() {
    let (needed, short, long) = (vec![1; OTHERS * 2], vec![2; OTHERS / 2], vec![3; OTHERS]);
    let others = BTreeSet::from([needed.clone(), long, short.clone()]);
    let chosen = choose(BTreeSet::from([needed.clone()]), others);
    assert_eq!(chosen, [short, needed]);
}

#[test]
fn what_is_no_base64_is_named_by_its_line() {
    let error = decode("CQ==\nno input\n").expect_err("not base64");
    assert!(error.to_string().starts_with("line 2: "), "{error}");
}
