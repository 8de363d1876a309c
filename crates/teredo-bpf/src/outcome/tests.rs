use super::*;

const HEADER: &str = include_str!("../../programs/path.h");

#[test]
fn the_numbers_are_those_of_the_programs() {
    let (_, list) = HEADER.split_once("enum outcome {").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    let theirs: Vec<(String, usize)> = list
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(name, number)| (name.to_lowercase(), number.parse().unwrap()))
        .collect();
    let mut ours: Vec<(String, usize)> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome.to_string(), outcome as usize))
        .collect();
    ours.push(("outcomes".into(), Outcome::ALL.len()));
    assert_eq!(theirs, ours);
}
