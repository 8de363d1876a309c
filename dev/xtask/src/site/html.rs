//! The parts of a page that the checks need: its anchors, its links and its code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A folder of pages, by their paths in it.
pub(super) struct Site {
    pub(super) pages: BTreeMap<PathBuf, Page>,
    /// Every other file; a style sheet with its text.
    pub(super) files: BTreeMap<PathBuf, Option<String>>,
}

impl Site {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut site = Self {
            pages: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let mut open = vec![folder.to_path_buf()];
        while let Some(at) = open.pop() {
            let listing =
                fs::read_dir(&at).with_context(|| format!("cannot list {}", at.display()))?;
            for entry in listing {
                let path = entry
                    .with_context(|| format!("cannot list {}", at.display()))?
                    .path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let read = || {
                    fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))
                };
                let name = path.strip_prefix(folder).unwrap_or(&path).to_path_buf();
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("html") => drop(site.pages.insert(name, Page::parse(&read()?))),
                    Some("css") => drop(site.files.insert(name, Some(read()?))),
                    _ => drop(site.files.insert(name, None)),
                }
            }
        }
        ensure!(!site.pages.is_empty(), "mdbook has written no page");
        Ok(site)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) anchors: BTreeSet<String>,
    pub(super) links: Vec<Link>,
    pub(super) code: Vec<Code>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) target: String,
    /// Whether the browser loads it together with the page.
    pub(super) is_loaded: bool,
}

/// The text of a code element.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Of the fence; none if it is within a line.
    pub(super) language: Option<String>,
    pub(super) text: String,
}

/// A tag with its attributes.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
}

impl Tag<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// Parses the HTML that mdbook writes; it is well-formed.
    pub(super) fn parse(html: &str) -> Self {
        let mut page = Self::default();
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            rest = &rest[start..];
            if rest.starts_with("<!--") {
                rest = after(rest, "-->");
                continue;
            }
            let (tag, behind) = tag(rest);
            rest = behind;
            page.note(&tag);
            match tag.name {
                // Their text is no HTML.
                "script" | "style" => rest = after(rest, &format!("</{}", tag.name)),
                "code" => {
                    let end = rest.find("</code").unwrap_or(rest.len());
                    page.code.push(Code {
                        language: language(&tag),
                        text: plain(&rest[..end]),
                    });
                }
                _ => {}
            }
        }
        page
    }

    fn note(&mut self, tag: &Tag<'_>) {
        let anchors = ["id", "name"]
            .into_iter()
            .filter_map(|name| tag.value(name));
        self.anchors.extend(anchors.map(str::to_owned));
        // mdbook's script asks there which crates an example may use.
        if classes(tag).any(|class| class == "playground") {
            self.links.push(Link {
                target: "https://play.rust-lang.org/".to_owned(),
                is_loaded: true,
            });
        }
        for name in ["href", "src", "data", "poster"] {
            if let Some(target) = tag.value(name) {
                self.links.push(Link {
                    target: target.to_owned(),
                    is_loaded: name != "href" || tag.name == "link",
                });
            }
        }
    }
}

fn classes<'a>(tag: &'a Tag<'_>) -> impl Iterator<Item = &'a str> {
    tag.value("class").unwrap_or_default().split_whitespace()
}

fn language(tag: &Tag<'_>) -> Option<String> {
    classes(tag).find_map(|class| class.strip_prefix("language-").map(str::to_owned))
}

/// The text behind the first `end`.
fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

/// Splits `html`, which begins with a tag, behind it. An end tag has no name.
fn tag(html: &str) -> (Tag<'_>, &str) {
    let mut rest = &html[1..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '>');
    let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
    rest = behind;
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let Some(end) = rest.find(|c: char| c.is_whitespace() || "=>".contains(c)) else {
            return (Tag { name, attributes }, "");
        };
        let key = &rest[..end];
        rest = &rest[end..];
        if key.is_empty() && rest.starts_with('>') {
            return (Tag { name, attributes }, &rest[1..]);
        }
        let Some(value) = rest.strip_prefix('=') else {
            attributes.push((key, String::new()));
            continue;
        };
        let quoted = value.chars().next().filter(|quote| "\"'".contains(*quote));
        let (value, behind) = match quoted {
            Some(quote) => value[1..]
                .split_once(quote)
                .unwrap_or_else(|| (&value[1..], "")),
            None => {
                let end = value.find(|c: char| c.is_whitespace() || c == '>');
                value.split_at(end.unwrap_or(value.len()))
            }
        };
        attributes.push((key, plain(value)));
        rest = behind;
    }
}

/// HTML as text: without tags, and with the characters that stand for themselves.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        rest = tag(&rest[start..]).1;
    }
    text.push_str(rest);
    for (name, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        // Last, so that nothing is decoded twice.
        ("&amp;", "&"),
    ] {
        text = text.replace(name, character);
    }
    text
}

#[cfg(test)]
mod tests;
