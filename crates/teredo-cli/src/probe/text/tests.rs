use super::*;
use crate::probe::core::tests::kinds;
use crate::probe::core::tests::network::Network;
use crate::probe::finding;

fn shown(report: &Report) -> String {
    anstream::adapter::strip_str(&Text(report).to_string()).to_string()
}

fn behind(kind: &str) -> Report {
    let kinds = kinds();
    let (_, behaviour, _) = kinds
        .iter()
        .find(|(name, ..)| *name == kind)
        .expect("a kind");
    Network::new(*behaviour).probe()
}

#[test]
fn a_usual_router() {
    assert_eq!(
        shown(&behind("port-restricted")),
        "\
● 203.0.113.120  a client qualifies
     Primary: 203.0.113.120    answers in 2ms
   Secondary: 203.0.113.121    answers in 2ms
      Mapped: 192.0.2.1:40001    from 192.168.1.2:40001
         NAT: port-restricted: only the very endpoints that this host has sent to may send to it
     Mapping: endpoint-independent
   Filtering: address-and-port-dependent
   Port kept: yes
     Hairpin: no

   this host                 NAT                     server
   192.168.1.2:40001 ─────>  192.0.2.1:40001  ─┬──>  203.0.113.120
                                               └──>  203.0.113.121

   <───────────────────────────────────────────────  the server, which was asked          comes in
                             ✗ ────────────────────  the same address, another port       stopped
                             ✗ ────────────────────  a stranger                           stopped
                             ✗ ────────────────────  a neighbour, by the public address   stopped

A client would qualify here with this server."
    );
}

#[test]
fn a_symmetric_router() {
    let text = shown(&behind("symmetric"));
    for line in [
        "● 203.0.113.120  a client qualifies",
        "   192.168.1.2:40001 ─┬───>  192.0.2.1:18674  ────>  203.0.113.120",
        "                      └───>  192.0.2.1:23856  ────>  203.0.113.121",
        "     Warning: the NAT maps to 192.0.2.1:18674 towards the primary address, and to 192.0.2.1:23856",
        "                             ? ────────────────────  the same address, another port       unknown",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert!(
        text.ends_with("A client would qualify here with this server."),
        "{text}"
    );
}

#[test]
fn no_router_at_all() {
    let text = shown(&behind("none"));
    let picture = "
   this host                               server
   192.0.2.1:40001 ──────────────────┬──>  203.0.113.120
                                     └──>  203.0.113.121

   <─────────────────────────────────────  the server, which was asked          comes in
";
    assert!(text.contains(picture), "{text}");
}

/// Names and texts from elsewhere do not drive the terminal.
#[test]
fn foreign_text_is_printable() {
    let finding = finding::NAME_UNKNOWN.found("\x1b[2Jno such name");
    let text = shown(&Report::without_server("\x1b]0;evil\x07", finding));
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    let text = Text(&Report::without_server(
        "a\x1b[31mb",
        finding::NAME_SILENT.found("x"),
    ))
    .to_string();
    assert!(!text.contains("a\x1b[31mb"), "{text:?}");
}

/// No line is wider than a usual terminal, whatever the NAT.
#[test]
fn lines_are_short() {
    for (name, behaviour, _) in kinds() {
        let text = shown(&Network::new(behaviour).probe());
        assert!(
            text.lines().all(|line| line.chars().count() <= 110),
            "{name}:\n{text}"
        );
    }
}
