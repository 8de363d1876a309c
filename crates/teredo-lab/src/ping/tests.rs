use super::*;
use crate::Namespace;

/// The answer to a request of before comes while the next burst waits for its own.
#[test]
fn late_answers_to_another_burst_do_not_count() {
    let namespace = Namespace::new().unwrap();
    let replies = namespace.run(|| {
        let [before, next] = [(); 2].map(|()| Burst::open(Ipv6Addr::LOCALHOST).unwrap());
        before.send(1).unwrap();
        next.send(2).unwrap();
        next.collect(2, Duration::from_secs(5)).unwrap()
    });
    assert_eq!(replies.unwrap().order, [0, 1]);
}
