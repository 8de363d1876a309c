use super::*;

/// The news after these steps, which are told.
fn news(obstacles: &mut Obstacles) -> Option<Carrier> {
    let news = obstacles.news();
    obstacles.tell();
    news
}

fn user(words: &str) -> Option<Carrier> {
    Some(Carrier::User(words.to_owned()))
}

#[test]
fn a_change_of_the_port_is_no_news() {
    let mut obstacles = Obstacles::without_a_port();
    assert_eq!(news(&mut obstacles), None);
    obstacles.remove(Obstacle::Port);
    assert_eq!(news(&mut obstacles), Some(Carrier::Kernel));
    obstacles.insert(Obstacle::Port, NO_PORT.to_owned());
    assert_eq!(news(&mut obstacles), None);
    obstacles.remove(Obstacle::Port);
    assert_eq!(news(&mut obstacles), None);
}

#[test]
fn each_reason_that_lasts_is_news_once() {
    let mut obstacles = Obstacles::without_a_port();
    obstacles.suspend(Obstacle::Rules, "not known yet".to_owned());
    assert_eq!(news(&mut obstacles), None);
    for _ in 0..2 {
        obstacles.insert(Obstacle::Rules, "a limit".to_owned());
        obstacles.tell();
        assert_eq!(news(&mut obstacles), None);
    }
    obstacles.insert(Obstacle::Rules, "a quota".to_owned());
    assert_eq!(news(&mut obstacles), user("a quota"));
    // The first one counts, as in a status.
    obstacles.insert(Obstacle::Gate, "a gate".to_owned());
    assert_eq!(news(&mut obstacles), user("a gate"));
    obstacles.remove(Obstacle::Gate);
    assert_eq!(news(&mut obstacles), user("a quota"));
    obstacles.remove(Obstacle::Rules);
    // The port is still there.
    assert_eq!(news(&mut obstacles), None);
    obstacles.remove(Obstacle::Port);
    assert_eq!(news(&mut obstacles), Some(Carrier::Kernel));
}
