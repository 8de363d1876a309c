use super::*;

fn reason_of(counted: &[(ServerOutcome, u64)]) -> Option<&'static str> {
    let mut counts = OutcomeCounts::default();
    for &(outcome, count) in counted {
        counts[outcome as usize] = count;
    }
    reason(&counts)
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
