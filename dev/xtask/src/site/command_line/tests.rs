use super::*;

fn found(shell: &str) -> Vec<String> {
    commands(shell)
        .iter()
        .map(|words| words.join("|"))
        .collect()
}

#[test]
fn every_call_of_the_program_is_found() {
    assert_eq!(found("teredo"), [""]);
    assert_eq!(
        found("$ sudo teredo client --server a   # a comment"),
        ["client|--server|a"]
    );
    assert_eq!(
        found("(umask 077; teredo secret new alice > secret; cat secret)"),
        ["secret|new|alice"]
    );
    assert_eq!(
        found("teredo port && A=$(teredo status --json 2>/dev/null) | grep x"),
        ["port", "status|--json"]
    );
    assert_eq!(
        found("teredo firewall \\\n  --set 'inet filter teredo_ports'"),
        ["firewall|--set|inet filter teredo_ports"]
    );
    assert_eq!(
        found("TEREDO_SOCKET=/x teredo port\nif ! teredo port; then"),
        ["port", "port"]
    );
    assert_eq!(
        found(
            "podman run --name t --volume teredo:/run \\\n  teredo client --server a\npodman exec t teredo"
        ),
        ["client|--server|a", ""]
    );
}

#[test]
fn what_only_looks_like_a_call_is_none() {
    for text in [
        "teredo.toml",
        "teredo: serving",
        "apt install teredo",
        "podman build --tag teredo image",
        "podman run --volume teredo:/run other client",
        "systemctl start teredo-client",
        "# teredo nonsense",
        "echo 'x; teredo nonsense'",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}
