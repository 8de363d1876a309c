use super::*;

fn reason_of(counted: &[(ServerOutcome, u64)]) -> Option<&'static str> {
    let mut counts = OutcomeCounts::default();
    for &(outcome, count) in counted {
        counts[outcome as usize] = count;
    }
    reason(&counts, 0)
}

/// Where the address is, there is the program: what comes by another interface does not meet it, and is not counted by it.
#[test]
fn solicitations_at_another_interface_are_the_reason_if_they_are_the_most() {
    let mut counts = OutcomeCounts::default();
    counts[ServerOutcome::NotSolicitation as usize] = 5;
    counts[ServerOutcome::Sample as usize] = 3;
    let elsewhere = |count| {
        reason(&counts, count).is_some_and(|words| words.contains("arrive by another interface"))
    };
    assert!(elsewhere(131));
    assert!(!elsewhere(3));
    counts[ServerOutcome::Answered as usize] = 1;
    assert_eq!(reason(&counts, 131), None);
}

#[test]
fn an_answer_or_no_datagram_needs_no_reason() {
    assert_eq!(reason_of(&[]), None);
    let mixed = [(ServerOutcome::Answered, 1), (ServerOutcome::Checksum, 100)];
    assert_eq!(reason_of(&mixed), None);
}

/// Bubbles are most of the datagrams of some servers.
#[test]
fn the_most_frequent_reason_is_told_and_bubbles_last() {
    let counted = [
        (ServerOutcome::NotSolicitation, 100),
        (ServerOutcome::Unproven, 2),
        (ServerOutcome::Checksum, 3),
    ];
    assert_eq!(reason_of(&counted), words(ServerOutcome::Checksum));
    let bubbles = [(ServerOutcome::NotSolicitation, 1)];
    assert_eq!(reason_of(&bubbles), words(ServerOutcome::NotSolicitation));
}
