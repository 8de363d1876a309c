//! Finds the IDs in the sources: at code that meets a requirement, or in a test that shows it.
//!
//! Rust is parsed. An item with the attribute `test` is a test, and a comment belongs to the item that it is in or above.
//! An ID elsewhere in test code, such as a function that several tests call, does not count, but it must be in the list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Type};

use super::list::ids;

/// Folders that neither implement nor test: benchmarks, demonstrations, simulated networks, and the fuzz targets, which
/// the test run does not run.
const AROUND: &[&str] = &[
    "dev/bench",
    "crates/teredo-cli/src/lab",
    "crates/teredo-cli/src/lab.rs",
    "crates/teredo-lab",
    "crates/teredo-nat",
    "dev/sim",
    "dev/fuzz",
];

/// An ID in a source file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mention {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) file: String,
    /// The function, type or field; `None` for the whole file.
    pub(super) item: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The code meets the requirement.
    Code,
    /// The test shows it.
    Test,
    /// Neither.
    Other,
}

/// Reads files one by one, after it has noted which modules hold only tests.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Of `src/a/tests.rs` and all in `src/a/tests/`: `src/a/tests`.
    test_modules: BTreeSet<PathBuf>,
}

impl Reader {
    /// Notes which files a Rust file declares as modules for tests.
    pub(super) fn note_test_modules(&mut self, path: &Path, source: &str) -> Result<()> {
        if path.extension().is_none_or(|extension| extension != "rs") {
            return Ok(());
        }
        for item in syn::parse_file(source)?.items {
            if let Item::Mod(module) = item
                && module.content.is_none()
                && is_for_tests(&module.attrs)
            {
                self.test_modules
                    .insert(folder(path).join(module.ident.to_string()));
            }
        }
        Ok(())
    }

    /// The IDs in a file.
    pub(super) fn mentions(&self, path: &Path, source: &str) -> Result<BTreeSet<Mention>> {
        let file = path.to_string_lossy();
        let around = AROUND.iter().any(|around| path.starts_with(around));
        if path.extension().is_some_and(|extension| extension == "c") {
            let mention = |id: &str| Mention {
                id: id.to_owned(),
                kind: Kind::Test,
                file: file.clone().into_owned(),
                item: None,
            };
            return Ok(ids(source).map(mention).collect());
        }
        let parsed = syn::parse_file(source).with_context(|| format!("cannot parse {file}"))?;
        let mut places = Places::default();
        places.add_all(&parsed.items, None, self.is_for_tests(path));
        let lines: Vec<&str> = source.lines().collect();
        let outside = if self.is_for_tests(path) {
            Kind::Other
        } else {
            Kind::Code
        };
        let mut mentions = BTreeSet::new();
        for (at, line) in lines.iter().enumerate() {
            for id in ids(line) {
                let place = places.at(at + 1, &lines);
                let kind = match place.map_or(outside, |place| place.kind) {
                    _ if around => Kind::Other,
                    Kind::Code if !is_in_comment(line, id) => Kind::Other,
                    kind => kind,
                };
                mentions.insert(Mention {
                    id: id.to_owned(),
                    kind,
                    file: file.clone().into_owned(),
                    item: place.map(|place| place.name.clone()),
                });
            }
        }
        Ok(mentions)
    }

    /// Whether a file is of a crate's `tests` folder, or a module for tests.
    fn is_for_tests(&self, path: &Path) -> bool {
        let in_tests = path
            .components()
            .nth(2)
            .is_some_and(|part| part.as_os_str() == "tests");
        in_tests
            || path
                .with_extension("")
                .ancestors()
                .any(|ancestor| self.test_modules.contains(ancestor))
    }
}

/// The folder of the modules that a file declares.
fn folder(path: &Path) -> PathBuf {
    let is_root = path
        .file_name()
        .is_some_and(|name| name == "mod.rs" || name == "lib.rs" || name == "main.rs");
    if is_root {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    } else {
        path.with_extension("")
    }
}

fn is_in_comment(line: &str, id: &str) -> bool {
    line.find("//")
        .is_some_and(|start| line.find(id).is_some_and(|at| at > start))
}

/// Whether `#[cfg(test)]` is among the attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .meta
                .require_list()
                .is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// `#[test]`, `#[tokio::test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "test")
    })
}

/// The items of a file with their lines, comments above them included.
#[derive(Debug, Default)]
struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    name: String,
    kind: Kind,
    first: usize,
    last: usize,
}

impl Places {
    /// The item that the line is in, or, for a comment, above.
    fn at(&self, line: usize, lines: &[&str]) -> Option<&Place> {
        let around = self
            .0
            .iter()
            .filter(|place| (place.first..=place.last).contains(&line));
        around
            .min_by_key(|place| place.last - place.first)
            .or_else(|| {
                let below =
                    (line..lines.len()).find(|&at| !lines[at].trim_start().starts_with("//"))? + 1;
                self.0.iter().find(|place| place.first == below)
            })
    }

    fn add(&mut self, name: String, kind: Kind, spanned: &impl Spanned) {
        let span = spanned.span();
        let (first, last) = (span.start().line, span.end().line);
        self.0.push(Place {
            name,
            kind,
            first,
            last,
        });
    }

    fn add_all(&mut self, items: &[Item], outer: Option<&str>, for_tests: bool) {
        let kind = if for_tests { Kind::Other } else { Kind::Code };
        for item in items {
            match item {
                Item::Fn(function) => {
                    let name = function.sig.ident.to_string();
                    self.add(
                        within(outer, &name),
                        of_function(&function.attrs, kind),
                        function,
                    );
                }
                Item::Struct(structure) => {
                    let name = structure.ident.to_string();
                    self.add(name.clone(), kind, structure);
                    self.add_fields(&name, &structure.fields, kind);
                }
                Item::Enum(choice) => {
                    let name = choice.ident.to_string();
                    self.add(name.clone(), kind, choice);
                    for variant in &choice.variants {
                        self.add(format!("{name}::{}", variant.ident), kind, variant);
                    }
                }
                Item::Const(constant) => self.add(constant.ident.to_string(), kind, constant),
                Item::Static(constant) => self.add(constant.ident.to_string(), kind, constant),
                Item::Type(alias) => self.add(alias.ident.to_string(), kind, alias),
                Item::Trait(item) => {
                    let name = item.ident.to_string();
                    self.add(name.clone(), kind, item);
                    for member in &item.items {
                        if let TraitItem::Fn(function) = member {
                            self.add(format!("{name}::{}", function.sig.ident), kind, function);
                        }
                    }
                }
                Item::Impl(item) => {
                    let name = name_of(&item.self_ty);
                    for member in &item.items {
                        match member {
                            ImplItem::Fn(function) => {
                                let kind = of_function(&function.attrs, kind);
                                self.add(format!("{name}::{}", function.sig.ident), kind, function);
                            }
                            ImplItem::Const(constant) => {
                                self.add(format!("{name}::{}", constant.ident), kind, constant);
                            }
                            _ => {}
                        }
                    }
                }
                Item::Mod(module) => {
                    if let Some((_, items)) = &module.content {
                        let for_tests = for_tests || is_for_tests(&module.attrs);
                        self.add_all(items, Some(&module.ident.to_string()), for_tests);
                    }
                }
                Item::Macro(item) => {
                    let name = item
                        .mac
                        .path
                        .segments
                        .last()
                        .map(|last| last.ident.to_string());
                    let name = name.unwrap_or_default();
                    if name == "proptest" {
                        self.add_properties(item.mac.tokens.clone());
                    } else {
                        self.add(name + "!", kind, item);
                    }
                }
                _ => {}
            }
        }
    }

    fn add_fields(&mut self, name: &str, fields: &Fields, kind: Kind) {
        for field in fields {
            if let Some(field_name) = &field.ident {
                self.add(format!("{name}::{field_name}"), kind, field);
            }
        }
    }

    /// `proptest! { #[test] fn name(x in strategy) { .. } }` is not Rust, but its attributes, `fn` and braces are.
    fn add_properties(&mut self, tokens: TokenStream) {
        let mut attributes: Option<usize> = None;
        let mut is_test = false;
        let mut function: Option<String> = None;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let line = token.span().start().line;
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    attributes.get_or_insert(line);
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                    is_test |= group.stream().to_string() == "test";
                }
                TokenTree::Ident(ident) if ident == "fn" => {
                    function = tokens.peek().map(ToString::to_string);
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    if let Some(name) = function.take() {
                        let kind = if is_test { Kind::Test } else { Kind::Other };
                        let first = attributes.unwrap_or(line);
                        let last = group.span_close().end().line;
                        self.0.push(Place {
                            name,
                            kind,
                            first,
                            last,
                        });
                    }
                    (attributes, is_test) = (None, false);
                }
                _ => {}
            }
        }
    }
}

fn of_function(attributes: &[Attribute], kind: Kind) -> Kind {
    if is_test(attributes) {
        Kind::Test
    } else {
        kind
    }
}

fn within(outer: Option<&str>, name: &str) -> String {
    match outer {
        Some(outer) if outer != "tests" => format!("{outer}::{name}"),
        _ => name.to_owned(),
    }
}

/// `Client` of `Client`, `&Client`, `client::Client<T>`.
fn name_of(ty: &Type) -> String {
    match ty {
        Type::Path(path) => {
            let last = path.path.segments.last();
            last.map(|segment| segment.ident.to_string())
                .unwrap_or_default()
        }
        Type::Reference(reference) => name_of(&reference.elem),
        _ => "_".to_owned(),
    }
}
