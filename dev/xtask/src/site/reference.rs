//! The pages of the reference that are made, not written: of the program's own words, and of the sources.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, Type};

use super::output;
use crate::tree;

/// The pages and their text.
pub(super) fn pages(program: &Path) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("commands.md", commands(program)?),
        ("exit-codes.md", exit_codes(program)?),
        ("drop-reasons.md", drop_reasons(program)?),
        ("findings.md", findings(program)?),
        ("json.md", json()?),
    ])
}

/// The help of every command.
fn commands(program: &Path) -> Result<String> {
    let help = output(program, &["--help"])?;
    let mut page = format!(
        "# Commands\n\nThe help of the program, as `teredo --help` prints it.\n\n```text\n{}```\n",
        help
    );
    for name in subcommands(&help) {
        add_command(&mut page, program, &[&name])?;
    }
    Ok(page)
}

fn add_command(page: &mut String, program: &Path, path: &[&str]) -> Result<()> {
    let help = output(program, &[path, &["--help"]].concat())?;
    let _ = write!(
        page,
        "\n## teredo {}\n\n```text\n{}\n```\n",
        path.join(" "),
        without_global(&help).trim_end()
    );
    for name in subcommands(&help) {
        add_command(page, program, &[path, &[&name]].concat())?;
    }
    Ok(())
}

/// The names under *Commands*, but for `help`.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// A command's help without the options that every command has.
fn without_global(help: &str) -> String {
    let mut is_global = false;
    let mut kept = String::new();
    for line in help.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            is_global = line == "Global options:";
        }
        if !is_global {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// A table of the exit codes, by `teredo explain`.
fn exit_codes(program: &Path) -> Result<String> {
    let help = output(program, &["--help"])?;
    let lines = help
        .lines()
        .skip_while(|line| *line != "Exit status:")
        .skip(1);
    let mut page = String::from(
        "# Exit codes\n\nEvery command ends with one of these. Scripts may depend on them: codes may be added, and none \
         changes. `teredo explain` tells the same.\n\n| code | name | meaning | next step |\n|--:|---|---|---|\n",
    );
    for code in lines.filter_map(|line| line.split_whitespace().next()) {
        let text = output(program, &["explain", code])?;
        let mark = format!(" (exit status {code})");
        let mut lines = text.lines().skip_while(|line| !line.ends_with(&mark));
        let name = lines.next().and_then(|line| line.strip_suffix(&mark));
        let name = name.with_context(|| format!("`teredo explain {code}` knows no exit status"))?;
        let [means, next] = explained(lines)?;
        let _ = writeln!(page, "| {code} | `{name}` | {means} | {next} |");
    }
    Ok(page)
}

/// A list of the drop reasons, by `teredo explain`.
fn drop_reasons(program: &Path) -> Result<String> {
    let source = tree::read("crates/teredo/src/drop.rs")?;
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| {
            line.strip_suffix("\",")?
                .split_once(" = \"")
                .map(|(_, name)| name)
        })
        .collect();
    ensure!(
        !names.is_empty(),
        "crates/teredo/src/drop.rs names no drop reason"
    );
    let mut page = String::from(
        "# Drop reasons\n\nEach packet that is refused is counted under one of these names: in `teredo status` and \
         `teredo status --json` of a client or relay, and in what a server prints at SIGUSR1. A few drops are normal. \
         `teredo explain` tells the same about one of them.\n\n",
    );
    for name in names {
        let text = output(program, &["explain", name])?;
        let [means, next] = explained(text.lines())?;
        let _ = writeln!(page, "- **`{name}`**: {means}. *Next:* {next}.");
    }
    Ok(page)
}

/// A list of the findings of `teredo probe`, by `teredo explain`.
fn findings(program: &Path) -> Result<String> {
    const SOURCE: &str = "crates/teredo-cli/src/probe/finding.rs";
    let source = tree::read(SOURCE)?;
    let names = source.lines().filter_map(|line| {
        let (_, rest) = line.strip_prefix("    ")?.split_once(" = \"")?;
        rest.split_once("\", ").map(|(name, _)| name)
    });
    let mut page = String::from(
        "# Findings of probe\n\n[`teredo probe`](../probe.md) names what it finds. `teredo explain` tells the same about one \
         finding. No name changes its meaning.\n\n",
    );
    let mut count = 0;
    for name in names {
        let text = output(program, &["explain", name])?;
        let [means, next] = explained(text.lines())?;
        let _ = writeln!(page, "- **`{name}`**: {means}. *Next:* {next}.");
        count += 1;
    }
    ensure!(count > 0, "{SOURCE} names no finding");
    Ok(page)
}

/// The meaning and the next step of what `teredo explain` prints.
fn explained<'a>(lines: impl Iterator<Item = &'a str>) -> Result<[String; 2]> {
    let lines: Vec<&str> = lines.collect();
    let field = |label: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(label));
        found
            .map(in_cell)
            .with_context(|| format!("`teredo explain` prints no '{}'", label.trim()))
    };
    Ok([field("  means: ")?, field("   next: ")?])
}

/// Text for a cell of a table, with commands and options as code.
fn in_cell(text: &str) -> String {
    let mut cell = text.replace('|', "\\|");
    for (number, part) in text.split('\'').enumerate() {
        let is_command = part.starts_with("teredo ") || part.starts_with("ip ");
        if number % 2 == 1 && is_command && !part.contains("COMMAND") && !part.contains("HOST") {
            cell = cell.replace(&format!("'{part}'"), &format!("`{part}`"));
        }
    }
    cell
}

const STATUS: &str = "crates/teredo-notify/src/types/status.rs";
const REACH: &str = "crates/teredo-cli/src/status/reach.rs";
const PEER: &str = "crates/teredo-notify/src/types/peer.rs";
const EVENT: &str = "crates/teredo-notify/src/types/event.rs";

/// The fields of the JSON objects, from the types that write them.
fn json() -> Result<String> {
    let mut page = tree::read("site/json.md")?;
    for (file, name, title) in [
        (STATUS, "Status", "`teredo.status/1`"),
        (STATUS, "Peers", "`peers`"),
        (STATUS, "NatBehaviour", "`nat_behaviour`"),
        (
            REACH,
            "Reach",
            "`reach`, of `teredo status --json` behind a symmetric NAT",
        ),
        (STATUS, "GatewayStatus", "`gateway`"),
        (STATUS, "Counters", "`counters`"),
        (STATUS, "DataPath", "`data_path`"),
        (STATUS, "CarriedPackets", "`data_path.packets`"),
        (STATUS, "Lane", "`lanes`, an object for each thread"),
        (
            STATUS,
            "Pair",
            "`pairs`, an object for each pair of a server's addresses",
        ),
        (
            STATUS,
            "FirewallStatus",
            "`firewall`, an object for each gate",
        ),
        (
            STATUS,
            "Limited",
            "`limited`, an object for each destination of a server that its limits refuse",
        ),
        (STATUS, "Notifications", "`notifications`"),
        (STATUS, "PortChanges", "`notifications.changes`"),
        (
            PEER,
            "Peer",
            "`peer_list`, an object for each peer, with `--peers`",
        ),
        (EVENT, "Event", "`teredo.event/1`"),
    ] {
        let _ = write!(page, "\n## {title}\n\n{}", table_of(file, name)?);
    }
    for (variant, title) in [
        ("Port", "An event `port`"),
        ("State", "An event `state`"),
        ("Lost", "An event `lost`"),
    ] {
        let _ = write!(
            page,
            "\n### {title}\n\n{}",
            table_of_variant(EVENT, "Detail", variant)?
        );
    }
    Ok(page)
}

fn table_of(file: &str, name: &str) -> Result<String> {
    let items = syn::parse_file(&tree::read(file)?)?.items;
    let fields = items.iter().find_map(|item| match item {
        Item::Struct(item) if item.ident == name => Some(&item.fields),
        _ => None,
    });
    table(fields.with_context(|| format!("{file} has no struct {name}"))?)
}

fn table_of_variant(file: &str, name: &str, variant: &str) -> Result<String> {
    let items = syn::parse_file(&tree::read(file)?)?.items;
    let fields = items.iter().find_map(|item| match item {
        Item::Enum(item) if item.ident == name => {
            let mut variants = item.variants.iter();
            variants
                .find(|found| found.ident == variant)
                .map(|found| &found.fields)
        }
        _ => None,
    });
    table(fields.with_context(|| format!("{file} has no {name}::{variant}"))?)
}

/// The fields with their types and their documentation. A flattened field is another object's.
fn table(fields: &Fields) -> Result<String> {
    let mut table = String::from("| field | value | meaning |\n|---|---|---|\n");
    for field in fields {
        let name = field.ident.as_ref().context("a field without a name")?;
        let is_flat = field.attrs.iter().any(|attribute| {
            matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string().starts_with("flatten"))
        });
        let meaning = documentation(&field.attrs);
        if is_flat && name == "counters" {
            let _ = writeln!(table, "| each other name | number | {meaning} |");
            continue;
        }
        if is_flat {
            table.push_str(
                "| `event` | string | the kind of the event; its own fields are below |\n",
            );
            continue;
        }
        let _ = writeln!(
            table,
            "| `{name}` | {} | {meaning} |",
            json_type(&field.ty)?
        );
    }
    Ok(table)
}

/// The first paragraph of a Rustdoc comment, with the names of types as the JSON has them.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    let text = lines
        .take_while(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    without_paths(&text)
        .replace("[`STATUS_SCHEMA`] from this version", "`teredo.status/1`")
        .replace("[`EVENT_SCHEMA`] from this version", "`teredo.event/1`")
}

/// ``[`interface`](Self::interface)`` becomes `interface`.
fn without_paths(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once("](") {
        let Some((before, words)) = head.rsplit_once('[') else {
            break;
        };
        out.push_str(before);
        out.push_str(words);
        rest = tail.split_once(')').map_or("", |(_, behind)| behind);
    }
    out + rest
}

/// The JSON type of a Rust type.
fn json_type(of: &Type) -> Result<&'static str> {
    if let Type::Reference(reference) = of {
        return json_type(&reference.elem);
    }
    let Type::Path(path) = of else {
        bail!("a field of a type without a name")
    };
    let last = path.path.segments.last().context("an empty path")?;
    let inner = match &last.arguments {
        syn::PathArguments::AngleBracketed(inner) => {
            inner.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Type(inner) => Some(json_type(inner)),
                _ => None,
            })
        }
        _ => None,
    };
    let name = last.ident.to_string();
    Ok(match (name.as_str(), inner.transpose()?) {
        ("bool", _) => "boolean",
        ("u8" | "u16" | "u32" | "u64", _) => "number",
        ("Vec", Some("string")) => "list of strings",
        ("Vec", _) => "list of objects",
        ("Option", Some("boolean")) => "boolean or null",
        ("Option", Some("number")) => "number or null",
        ("Option", Some("string")) => "string or null",
        ("Option", Some("object")) => "object or null",
        (
            "BTreeMap" | "Peers" | "Counters" | "Lane" | "Pair" | "Limited" | "NatBehaviour"
            | "DataPath" | "CarriedPackets" | "GatewayStatus" | "FirewallStatus" | "Notifications"
            | "PortChanges",
            _,
        ) => "object",
        ("String" | "str" | "Ipv4Addr" | "Ipv6Addr" | "SocketAddrV4", _) => "string",
        // Enumerations, by name.
        ("Phase" | "PeerState" | "PortKind" | "Role" | "Kind" | "Outlook" | "Carrier", _) => {
            "string"
        }
        _ => bail!("no JSON type is known for {name}"),
    })
}

#[cfg(test)]
mod tests;
