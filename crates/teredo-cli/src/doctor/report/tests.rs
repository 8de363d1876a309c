use super::*;
use crate::doctor::check::id;

fn text(checks: &[Check]) -> String {
    anstream::adapter::strip_str(&Report::new(checks).to_string()).to_string()
}

#[test]
fn a_line_for_each_check_and_a_sum() {
    let checks = [
        Check::ok(id::HOST_TUN, "it is there"),
        Check::skip(id::HOST_ROUTE, "no address is known"),
        Check::warn(id::HOST_CLOCK, "it is late")
            .why("nobody winds it")
            .fix("timedatectl"),
        Check::fail(id::HOST_IPV6, "it is off").fix("one\ntwo"),
        Check::fail(id::SERVER_NAME, "the same").fix("one\ntwo"),
    ];
    assert_eq!(
        text(&checks),
        "  1 ok    host.tun     it is there\n  \
           2 skip  host.route   no address is known\n  \
           3 warn  host.clock   it is late\n          \
                   why:  nobody winds it\n          \
                   mend: timedatectl\n  \
           4 fail  host.ipv6    it is off\n          \
                   mend: one\n                \
                         two\n  \
           5 fail  server.name  the same\n          \
                   mend: as for 4\n\
         \n2 failures, 1 warning (1 not checked). Begin with 4, host.ipv6."
    );
}

#[test]
fn a_healthy_host_is_told_so() {
    let checks = [Check::ok(id::HOST_TUN, "it is there")];
    assert!(text(&checks).ends_with("\nAll is well."));
}

/// The state follows from something else, so nobody begins with it.
#[test]
fn the_cause_comes_first() {
    let checks = [
        Check::fail(id::SERVICE_STATE, "not qualified").fix("x"),
        Check::fail(id::NAT_MAPPING, "symmetric").fix("x"),
    ];
    let text = text(&checks);
    assert!(
        text.ends_with("2 failures. Begin with 2, nat.mapping."),
        "{text}"
    );
    assert!(text.contains("mend: as for 2\n"), "{text}");
    assert!(text.contains("mend: x\n"), "{text}");
}

/// A daemon that does not run may be kept from it by something else.
#[test]
fn a_start_is_not_the_beginning() {
    let checks = [
        Check::fail(id::SERVICE_SOCKET, "no client runs"),
        Check::fail(id::SERVICE_GROUP, "no such group"),
        Check::fail(id::FIREWALL_AGENT, "no agent runs"),
        Check::fail(id::FIREWALL_SET, "of another type"),
    ];
    for (checks, first) in [
        (&checks[..2], "Begin with 2, service.group."),
        (&checks[2..], "Begin with 2, firewall.set."),
        (&checks[..1], "Begin with 1, service.socket."),
    ] {
        let text = text(checks);
        assert!(text.ends_with(first), "{text}");
    }
}

/// Names and arguments of processes, interfaces and files come from others.
#[test]
fn no_text_of_others_drives_a_terminal() {
    let evil = "a\x1b[2Jb\u{9b}c\u{202e}d\re";
    let check = Check::fail(id::HOST_TUN, evil)
        .why(evil)
        .fix(format!("kill 1\n{evil}"));
    let texts = [
        Report::new(std::slice::from_ref(&check)).to_string(),
        serde_json::to_string(&check).unwrap(),
    ];
    for text in texts {
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("a?[2Jb?c?d?e"), "{text:?}");
        let unseen = |c: char| c != '\n' && crate::text::is_unseen(c);
        assert!(!text.contains(unseen), "{text:?}");
    }
}
