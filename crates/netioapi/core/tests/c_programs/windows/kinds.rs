//! The names that count as basic types and as annotations.

use std::collections::{BTreeMap, BTreeSet};

use super::{STRUCTURES, TYPES};

/// The kind of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number {
        sign: &'static str,
        bytes: i64,
    },
    /// Target: the width of what it points to, 0 for void.
    Pointer {
        target: i64,
    },
    /// A pointer to an incomplete structure.
    Handle,
    Structure {
        bytes: i64,
        alignment: i64,
    },
    Annotation {
        parameters: Option<usize>,
        /// It is one of the four files of annotations for analysers.
        analysis: bool,
    },
}

/// Names that are not in the list, by kind, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excluded {
    /// A function type: only the system calls such functions, and no such caller exists here.
    Function,
    /// An enumeration: the choices of a function that does not exist here.
    Enumeration,
    /// A structure outside [`STRUCTURES`]: an argument or result of a function that does not exist here.
    Structure,
    /// An array of such structures.
    Array,
}

/// A type definition, taken apart.
pub(super) struct Typedef {
    file: String,
    /// The words before the declarators, without qualifiers.
    base: Vec<String>,
    /// Whether a body in braces stands between them and the declarators.
    body: bool,
    /// The declarators.
    declarators: String,
}

impl Typedef {
    pub(super) fn read(file: &str, text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches(';');
        let text = text.strip_prefix("__extension__").unwrap_or(text).trim();
        let Some(text) = text.strip_prefix("typedef") else {
            return Self::tag(file, text);
        };
        let text = without_attributes(text);
        let (head, declarators, body) = match (text.find('{'), text.rfind('}')) {
            (Some(begin), Some(end)) => {
                (text[..begin].to_owned(), text[end + 1..].to_owned(), true)
            }
            _ => {
                // The declarators begin at the last word before the first comma, with its asterisks.
                let first = text.split(',').next().unwrap();
                let name = first
                    .trim_end()
                    .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .map_or(0, |at| at + 1);
                let begin = first.find('*').unwrap_or(name).min(name);
                (text[..begin].to_owned(), text[begin..].to_owned(), false)
            }
        };
        Some(Self {
            file: file.to_owned(),
            base: words(&head),
            body,
            declarators,
        })
    }

    /// A structure that gets its body outside of a type definition.
    fn tag(file: &str, text: &str) -> Option<Self> {
        let head = &text[..text.find('{')?];
        Some(Self {
            file: file.to_owned(),
            base: words(head),
            body: true,
            declarators: String::new(),
        })
    }

    /// The tag of the structure that this gives a body.
    fn completes(&self) -> Option<&str> {
        match &self.base[..] {
            [_, tag] if self.body => Some(tag),
            _ => None,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let skipped = ["const", "volatile", "__extension__"];
    text.split_whitespace()
        .filter(|word| !skipped.contains(word))
        .map(str::to_owned)
        .collect()
}

/// The text without `__attribute__((...))`.
pub(super) fn without_attributes(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::new();
    while let Some(at) = rest.find("__attribute__") {
        clean.push_str(&rest[..at]);
        let mut depth = 0;
        let after = &rest[at + "__attribute__".len()..];
        let end = after.find(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => return false,
            }
            depth == 0
        });
        rest = &after[end.map_or(after.len(), |end| end + 1)..];
    }
    clean.push_str(rest);
    clean
}

/// Which names are basic types. Their widths are still to be measured.
pub(super) fn classify(typedefs: &[Typedef]) -> BTreeMap<String, Kind> {
    // `struct HWND__ { int unused; }` is nothing but the target of a handle.
    let completed: BTreeSet<&str> = typedefs
        .iter()
        .filter_map(Typedef::completes)
        .filter(|tag| !tag.ends_with("__"))
        .collect();
    let mut known: BTreeMap<String, Result<Kind, Excluded>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for typedef in typedefs {
        for declarator in typedef.declarators.split(',') {
            let Some(name) = words(&declarator.replace('*', " ")).pop() else {
                continue;
            };
            let kind = kind(typedef, declarator, &known, &completed);
            if let Ok(kind) = &kind
                && TYPES.contains(&&*typedef.file)
            {
                found.insert(name.clone(), kind.clone());
            }
            known.insert(name, kind);
            if typedef.declarators.contains('(') {
                break;
            }
        }
    }
    found
}

fn kind(
    typedef: &Typedef,
    declarator: &str,
    known: &BTreeMap<String, Result<Kind, Excluded>>,
    completed: &BTreeSet<&str>,
) -> Result<Kind, Excluded> {
    let pointer = declarator.contains('*');
    let base: Vec<&str> = typedef.base.iter().map(String::as_str).collect();
    let head = typedef.base.join(" ");
    if typedef.declarators.contains('(') || head.contains('(') {
        return Err(Excluded::Function);
    }
    if declarator.contains('[') {
        return Err(Excluded::Array);
    }
    let number = Kind::Number { sign: "", bytes: 0 };
    let base = match base[..] {
        ["enum", ..] => Err(Excluded::Enumeration),
        ["struct" | "union", ..] if typedef.body => {
            if STRUCTURES.contains(&&*typedef.file) {
                Ok(Kind::Structure {
                    bytes: 0,
                    alignment: 0,
                })
            } else {
                Err(Excluded::Structure)
            }
        }
        ["struct" | "union", tag] if pointer && !completed.contains(tag) => {
            return Ok(Kind::Handle);
        }
        ["struct" | "union", ..] => Err(Excluded::Structure),
        ["void"] => Ok(number),
        [name] if known.contains_key(name) => known[name].clone(),
        [..] => {
            let builtin = [
                "char", "short", "int", "long", "signed", "unsigned", "float", "double",
            ];
            if base.iter().all(|word| builtin.contains(word)) {
                Ok(number)
            } else {
                Err(Excluded::Structure)
            }
        }
    }?;
    Ok(if pointer && base != Kind::Handle {
        Kind::Pointer { target: 0 }
    } else {
        base
    })
}

/// Macros that become nothing and are no annotations, with the reason.
const NO_ANNOTATIONS: &[(&str, &[&str])] = &[
    (
        "words of 16-bit compilers, which Linux' sources have as names of their own",
        &["far", "near", "pascal", "cdecl"],
    ),
    (
        "settings of other headers",
        &[
            "BASETYPES",
            "NT_INCLUDED",
            "USE_DMA_MACROS",
            "NO_LEGACY_DRIVERS",
            "DEPRECATE_SUPPORTED",
            "TRACE_INFORMATION_CLASS_DEFINE",
        ],
    ),
    (
        "statements, not annotations",
        &[
            "DEFAULT_UNREACHABLE",
            "KdBreakPointWithStatus",
            "KdPrint",
            "KdPrintEx",
            "KeFlushIoBuffers",
            "SetNEC_98",
            "SetNotNEC_98",
            "vKdPrintEx",
            "vKdPrintExWithPrefix",
        ],
    ),
];

/// Whether a macro is an annotation, by what it becomes.
pub(super) fn annotation(
    name: &str,
    parameters: Option<usize>,
    analysis: bool,
    expansion: &str,
) -> bool {
    let keywords = [
        "const",
        "void",
        "static",
        "extern",
        "inline",
        "__inline",
        "__inline__",
    ];
    let empty = without_attributes(expansion)
        .split_whitespace()
        .all(|word| keywords.contains(&word));
    // The marks by which a header knows that it, or a part of it, was there already; settings of the C library.
    let guard = name.ends_with("_DEFINED")
        || name.ends_with("_DEFINED__")
        || name.ends_with("_H")
        || name.ends_with("_HXX")
        || name.starts_with("_CRT_")
        || name == "__specstrings"
        || (!analysis && name.starts_with('_'));
    let excluded = NO_ANNOTATIONS
        .iter()
        .any(|(_, names)| names.contains(&name));
    empty && !guard && !excluded && parameters != Some(0)
}
