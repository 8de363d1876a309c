use super::{decode, encode};

#[test]
fn the_shortest_come_first_once_and_come_back() {
    let inputs = vec![vec![2, 1], vec![], vec![9], vec![2, 1], vec![0; 300]];
    let text = encode(inputs);
    assert_eq!(text.lines().count(), 3);
    assert!(text.starts_with("CQ==\nAgE=\n"));
    assert_eq!(
        decode(&text).expect("as written"),
        [vec![9], vec![2, 1], vec![0; 300]]
    );
}

#[test]
fn what_is_no_base64_is_named_by_its_line() {
    let error = decode("CQ==\nno input\n").expect_err("not base64");
    assert!(error.to_string().starts_with("line 2: "), "{error}");
}
