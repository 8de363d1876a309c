use super::*;

#[test]
fn no_trouble_hides_another() {
    let now = Instant::now();
    let mut troubles = Troubles::default();
    assert_eq!(troubles.in_words(), None);
    troubles.set = Some(String::from("no set"));
    troubles.bucket = Some(String::from("no answer"));
    assert_eq!(troubles.in_words().unwrap(), "no answer; no set");
    // It is why there is no answer.
    troubles.refuse(now, String::from("no permission"));
    assert_eq!(troubles.in_words().unwrap(), "no permission; no set");
    // Once is enough.
    troubles.questions = Some(String::from("not heard: no permission"));
    assert_eq!(troubles.in_words().unwrap(), "no permission; no set");
    troubles.questions = Some(String::from("not heard"));
    assert_eq!(
        troubles.in_words().unwrap(),
        "no permission; no set; not heard"
    );
    troubles.questions = None;
    assert!(!troubles.expire(now + REFUSED / 2));
    assert!(troubles.expire(now + REFUSED));
    assert_eq!(troubles.in_words().unwrap(), "no answer; no set");
    (troubles.set, troubles.bucket) = (None, None);
    assert_eq!(troubles.in_words(), None);
}

#[test]
fn the_words_of_others_are_cut() {
    let mut troubles = Troubles::default();
    troubles.refuse(Instant::now(), "x".repeat(70_000));
    assert_eq!(troubles.in_words().unwrap().len(), LONGEST);
}
