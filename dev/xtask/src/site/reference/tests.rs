use super::*;

const HELP: &str = "About.\n\nUsage: x\n\nCommands:\n  one    First\n         and more\n  help   Print\n\nOptions:\n  \
                    -h  Print help\n\nGlobal options:\n  -v  More\n\nSignals:\n  A  b\n";

#[test]
fn subcommands_are_found_in_the_help() {
    assert_eq!(subcommands(HELP), ["one"]);
    assert_eq!(subcommands("no commands"), [""; 0]);
}

#[test]
fn the_options_of_every_command_are_shown_once() {
    let kept = without_global(HELP);
    assert!(
        !kept.contains("-v") && kept.contains("-h") && kept.contains("Signals:"),
        "{kept}"
    );
}

#[test]
fn an_explanation_has_a_meaning_and_a_next_step() {
    let text = "x (a packet was dropped)\n  means: a | b\n   next: 'teredo status' shows the reason, don't you think";
    assert_eq!(
        explained(text.lines()).unwrap(),
        [
            "a \\| b",
            "`teredo status` shows the reason, don't you think"
        ]
    );
    assert!(explained("nothing".lines()).is_err());
}

#[test]
fn fields_become_rows() {
    let item: syn::ItemStruct = syn::parse_quote! {
        struct S {
            /// Traffic that comes in by [`interface`](Self::interface) is
            /// dropped.
            ///
            /// More.
            a: Option<bool>,
            b: Vec<String>,
            c: BTreeMap<String, u64>,
            #[serde(flatten)]
            d: Detail,
        }
    };
    assert_eq!(
        table(&item.fields).unwrap(),
        "| field | value | meaning |\n|---|---|---|\n\
         | `a` | boolean or null | Traffic that comes in by `interface` is dropped. |\n\
         | `b` | list of strings |  |\n| `c` | object |  |\n\
         | `event` | string | the kind of the event; its own fields are below |\n"
    );
}

#[test]
fn a_type_without_a_json_type_is_an_error() {
    let item: syn::ItemStruct = syn::parse_quote! {
        struct S { a: Vec<Novel> }
    };
    let error = table(&item.fields).unwrap_err().to_string();
    assert!(error.contains("Novel"), "{error}");
}

#[test]
fn every_table_is_found_in_the_sources() {
    let page = json().unwrap();
    for field in [
        "`in_sync`",
        "`tx_packets`",
        "`capacity`",
        "`sequence`",
        "`count`",
        "`mapped`",
    ] {
        assert!(page.contains(field), "{field}");
    }
    assert!(!page.contains("Self::"), "{page}");
}
