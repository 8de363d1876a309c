use nix::errno::Errno;

use super::{PrivilegeError, diagnose};

fn with(error: Errno, parameters: &[(&str, &str)]) -> PrivilegeError {
    diagnose(error, |path| {
        let found = parameters.iter().find(|(name, _)| *name == path);
        found.map(|(_, value)| (*value).to_owned())
    })
}

const LIMIT: (&str, &str) = ("user/max_user_namespaces", "15000");

#[test]
fn names_what_forbids_user_namespaces() {
    let debian = [LIMIT, ("kernel/unprivileged_userns_clone", "0")];
    assert_eq!(with(Errno::EPERM, &debian), PrivilegeError::SwitchedOff);
    let ubuntu = [
        LIMIT,
        ("kernel/unprivileged_userns_clone", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    assert_eq!(with(Errno::EPERM, &ubuntu), PrivilegeError::AppArmor);
    assert_eq!(with(Errno::EACCES, &ubuntu), PrivilegeError::AppArmor);
    let none = [("user/max_user_namespaces", "0")];
    let limit = PrivilegeError::Limit {
        limit: "0".to_owned(),
    };
    assert_eq!(with(Errno::ENOSPC, &none), limit);
    assert_eq!(with(Errno::EPERM, &none), limit);
    assert_eq!(with(Errno::EINVAL, &[LIMIT]), PrivilegeError::Threads);
    assert_eq!(with(Errno::EINVAL, &[]), PrivilegeError::NoNamespaces);
    assert!(matches!(
        with(Errno::EPERM, &[LIMIT]),
        PrivilegeError::Refused(_)
    ));
}

#[test]
fn says_what_helps() {
    for (error, help) in [
        (
            PrivilegeError::SwitchedOff,
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            PrivilegeError::AppArmor,
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            PrivilegeError::Limit { limit: "0".into() },
            "sysctl user.max_user_namespaces=",
        ),
    ] {
        assert!(error.to_string().contains(help), "{error}");
        assert!(error.to_string().contains("run as root"), "{error}");
    }
}
