use super::*;

fn values(journal: &Journal<u32>) -> Vec<u32> {
    journal.entries().iter().map(|entry| entry.what).collect()
}

#[test]
fn a_journal_keeps_the_latest() {
    let mut journal = Journal::new(3);
    for value in 0..100 {
        journal.note(Instant::default(), || value);
        let kept = values(&journal);
        assert!(kept.len() <= 6);
        assert!(kept.ends_with(&[value]));
        assert!(kept.len() >= 3.min(value as usize + 1));
    }
    journal.set_limit(1);
    assert_eq!(values(&journal), [99]);
}

#[test]
fn a_journal_of_none_makes_no_values() {
    let mut journal = Journal::new(0);
    journal.note(Instant::default(), || unreachable!("it is not kept"));
    assert_eq!(values(&journal), [0; 0]);
}
