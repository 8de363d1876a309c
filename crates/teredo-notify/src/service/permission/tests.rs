use nix::unistd::{Gid, Group, Uid, User};

use super::is_member;

/// N-18: membership is what the group database says.
#[test]
fn members_are_those_of_the_database() {
    let root = User::from_uid(Uid::from_raw(0))
        .unwrap()
        .expect("there is a root");
    assert!(is_member(root.uid, root.gid), "by the user's own group");
    let foreign = Gid::from_raw(4_000_000_000);
    assert!(!is_member(root.uid, foreign));
    assert!(
        !is_member(Uid::from_raw(4_000_000_000), root.gid),
        "there is no such user"
    );

    for line in std::fs::read_to_string("/etc/group").unwrap().lines() {
        let Ok(Some(group)) = Group::from_name(line.split(':').next().unwrap()) else {
            continue;
        };
        for member in group.mem {
            if let Ok(Some(user)) = User::from_name(&member) {
                assert!(is_member(user.uid, group.gid), "{member} in {}", group.name);
            }
        }
    }
}
