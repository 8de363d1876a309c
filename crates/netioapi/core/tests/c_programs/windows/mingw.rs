//! The definitions in the headers of mingw-w64, as its compiler sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::kinds::{Kind, Typedef, annotation, classify};
use super::{ANALYSIS, ANNOTATED};
use crate::compile::{run, tool, work};

/// The names of a flavour, each with its kind.
pub(super) type Names = BTreeMap<String, Kind>;

/// A status code, which has 32 bits.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) name: String,
    pub(super) value: u32,
    pub(super) signed: bool,
}

/// The two sets of headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    Driver,
    Program,
}

impl Flavour {
    /// In the order of the libraries.
    pub(super) const ALL: [Self; 2] = [Self::Driver, Self::Program];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Program => "program",
        }
    }

    pub(super) fn headers_of_mingw(self) -> &'static str {
        match self {
            Self::Driver => "#include <ddk/ntddk.h>\n",
            Self::Program => {
                "#include <winsock2.h>\n#include <ws2ipdef.h>\n#include <windows.h>\n#include <iphlpapi.h>\n\
                 #include <netioapi.h>\n#include <fwpmu.h>\n#include <driverspecs.h>\n"
            }
        }
    }

    pub(super) fn headers_of_ours(self) -> &'static str {
        match self {
            Self::Driver => "#include <ntddk.h>\n#include <netioapi.h>\n",
            Self::Program => self.headers_of_mingw(),
        }
    }
}

/// mingw-w64's compiler, for Windows 7 as the tests' programs are.
pub(super) fn gcc() -> Command {
    let mut gcc = tool("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64");
    gcc.args(["-std=gnu11", "-D_WIN32_WINNT=0x0601"]);
    gcc.args(["-DNTDDI_VERSION=0x06010000"]);
    for folder in includes() {
        gcc.arg("-isystem").arg(format!("{folder}/ddk"));
    }
    gcc
}

/// Where mingw-w64's headers are; its headers for drivers lie in a folder below, which it does not search itself.
fn includes() -> Vec<String> {
    let mut gcc = tool("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64");
    let list = run(gcc.args(["-M", "-xc", "-include", "windef.h", "/dev/null"]));
    list.split_whitespace()
        .filter_map(|path| path.strip_suffix("/windef.h"))
        .map(str::to_owned)
        .collect()
}

/// The names of both flavours.
pub(super) fn names() -> [Names; 2] {
    Flavour::ALL.map(|flavour| {
        let text = preprocessed(flavour.name(), flavour.headers_of_mingw(), &["-dD"]);
        let source = Source::read(&text);
        let mut names = Names::new();
        let types = classify(&source.typedefs);
        names.extend(measure(flavour, &types));
        names.extend(annotations(flavour, &source.macros));
        names
    })
}

/// Runs the preprocessor over a text, and returns its output.
fn preprocessed(name: &str, text: &str, options: &[&str]) -> String {
    let file = work().join(format!("mingw-{name}.c"));
    std::fs::write(&file, text).unwrap();
    run(gcc().arg("-E").args(options).arg(file))
}

/// A macro: its file, and how many parameters it has if it takes any.
struct Macro {
    file: String,
    parameters: Option<usize>,
}

/// The output of the preprocessor with `-dD`, taken apart.
struct Source {
    typedefs: Vec<Typedef>,
    macros: BTreeMap<String, Macro>,
}

impl Source {
    fn read(text: &str) -> Self {
        let mut file = "";
        let mut code: Vec<(&str, String)> = Vec::new();
        let mut macros = BTreeMap::new();
        for line in text.lines() {
            if let Some(marker) = line.strip_prefix("# ") {
                let path = marker.split('"').nth(1).unwrap_or_default();
                file = Path::new(path)
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
            } else if let Some(define) = line.strip_prefix("#define ") {
                let end = define.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let (name, rest) = define.split_at(end.unwrap_or(define.len()));
                let parameters = rest.strip_prefix('(').map(|rest| {
                    let (list, _) = rest.split_once(')').unwrap();
                    list.split(',').filter(|one| !one.trim().is_empty()).count()
                });
                let file = file.to_owned();
                macros.insert(name.to_owned(), Macro { file, parameters });
            } else if let Some(name) = line.strip_prefix("#undef ") {
                macros.remove(name.trim());
            } else if !line.starts_with('#') {
                match code.last_mut() {
                    Some((last, text)) if *last == file => {
                        text.push_str(line);
                        text.push('\n');
                    }
                    _ => code.push((file, format!("{line}\n"))),
                }
            }
        }
        Self {
            typedefs: typedefs(&code),
            macros,
        }
    }
}

/// The type definitions at file level, each with the file that it begins in.
fn typedefs(code: &[(&str, String)]) -> Vec<Typedef> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut began = "";
    let mut depth = 0_u32;
    for (file, part) in code {
        for character in part.chars() {
            if text.trim().is_empty() {
                began = file;
                text.clear();
            }
            text.push(character);
            match character {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    // The end of a function's body, or of `extern "C"`.
                    let first = text
                        .split_whitespace()
                        .find(|word| *word != "__extension__");
                    let kept = ["typedef", "struct", "union", "enum"];
                    if depth == 0 && !first.is_some_and(|word| kept.contains(&word)) {
                        text.clear();
                    }
                }
                ';' if depth == 0 => {
                    found.extend(Typedef::read(began, &text));
                    text.clear();
                }
                _ => {}
            }
        }
    }
    found
}

/// Lets the compiler evaluate a list of expressions, each a number.
fn evaluate(name: &str, headers: &str, expressions: &[String]) -> Vec<i64> {
    let mut text = format!("{headers}const long long teredo_values[] = {{\n");
    for expression in expressions {
        text += &format!("(long long)({expression}),\n");
    }
    text += "1};\n";
    let file = work().join(format!("mingw-{name}.c"));
    std::fs::write(&file, text).unwrap();
    let assembly = run(gcc().args(["-w", "-S", "-o", "-"]).arg(file));
    let (_, values) = assembly.split_once("teredo_values:\n").unwrap();
    let mut found = Vec::new();
    for line in values.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(".quad"), Some(value)) => found.push(value.parse().unwrap()),
            (Some(".space" | ".zero"), Some(bytes)) => {
                let bytes: usize = bytes.parse().unwrap();
                found.resize(found.len() + bytes / 8, 0);
            }
            _ => break,
        }
    }
    assert_eq!(found.len(), expressions.len() + 1, "{name}");
    found.pop();
    found
}

/// The widths of types.
fn measure(flavour: Flavour, types: &BTreeMap<String, Kind>) -> Names {
    let ask = |what: &str, of: &[&String], expression: &dyn Fn(&str) -> String| {
        let expressions: Vec<String> = of.iter().map(|name| expression(name)).collect();
        let name = format!("{}-{what}", flavour.name());
        evaluate(&name, flavour.headers_of_mingw(), &expressions)
    };
    let names: Vec<&String> = types.keys().collect();
    let sizes = ask("sizes", &names, &|name| format!("sizeof({name})"));
    let of = |wanted: fn(&Kind) -> bool| -> Vec<&String> {
        let mut names = names.clone();
        names.retain(|name| wanted(&types[*name]));
        names
    };

    let numbers = of(|kind| matches!(kind, Kind::Number { .. }));
    let signs = ask("signs", &numbers, &|name| {
        format!("(({name})-1 < ({name})1) + 2 * (({name})0.5 != 0)")
    });
    let pointers = of(|kind| matches!(kind, Kind::Pointer { .. }));
    let targets = ask("targets", &pointers, &|name| {
        format!(
            "__builtin_types_compatible_p(__typeof__(*({name})0), void) || \
             __builtin_types_compatible_p(__typeof__(*({name})0), const void) \
             ? 0 : sizeof(*({name})0)"
        )
    });
    let structures = of(|kind| matches!(kind, Kind::Structure { .. }));
    let alignments = ask("alignments", &structures, &|name| {
        format!("_Alignof({name})")
    });

    let mut measured = types.clone();
    for (name, size) in names.iter().zip(sizes) {
        match measured.get_mut(*name).unwrap() {
            Kind::Number { bytes, .. } | Kind::Structure { bytes, .. } => *bytes = size,
            _ => assert_eq!(size, 8, "{name}"),
        }
    }
    for (name, value) in numbers.iter().zip(signs) {
        let Some(Kind::Number { sign, .. }) = measured.get_mut(*name) else {
            unreachable!()
        };
        *sign = ["unsigned", "signed", "", "real"][usize::try_from(value).unwrap()];
    }
    for (name, value) in pointers.iter().zip(targets) {
        let Some(Kind::Pointer { target }) = measured.get_mut(*name) else {
            unreachable!()
        };
        *target = value;
    }
    for (name, value) in structures.iter().zip(alignments) {
        let Some(Kind::Structure { alignment, .. }) = measured.get_mut(*name) else {
            unreachable!()
        };
        *alignment = value;
    }
    measured
}

/// The annotations among macros. The text that the preprocessor makes of a macro says whether it is one.
fn annotations(flavour: Flavour, macros: &BTreeMap<String, Macro>) -> Names {
    let mut text = flavour.headers_of_mingw().to_owned();
    let mut asked = Vec::new();
    for (name, Macro { file, parameters }) in macros {
        let analysis = ANALYSIS.contains(&&**file);
        if !analysis && !ANNOTATED.contains(&&**file) {
            continue;
        }
        let arguments = match parameters {
            None => String::new(),
            Some(count) => format!("({})", vec!["a"; *count].join(",")),
        };
        text += &format!("@{} {name}{arguments}\n", asked.len());
        asked.push((name, *parameters, analysis));
    }
    let output = preprocessed(&format!("{}-annotations", flavour.name()), &text, &["-P"]);
    let (_, output) = output.split_once("@0").unwrap();
    let mut expansions = BTreeMap::new();
    for part in format!("0{output}").split('@') {
        let (index, expansion) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        expansions.insert(index.trim().parse::<usize>().unwrap(), expansion.to_owned());
    }
    let mut found = Names::new();
    for (index, (name, parameters, analysis)) in asked.into_iter().enumerate() {
        if annotation(name, parameters, analysis, &expansions[&index]) {
            let kind = Kind::Annotation {
                parameters,
                analysis,
            };
            found.insert(name.clone(), kind);
        }
    }
    found
}

/// The status codes, by the file that has them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    Winerror,
    Ntstatus,
    Winnt,
}

impl Codes {
    fn file(self) -> &'static str {
        match self {
            Self::Winerror => "winerror.h",
            Self::Ntstatus => "ntstatus.h",
            Self::Winnt => "winnt.h",
        }
    }

    fn counts(self, name: &str) -> bool {
        self != Self::Winnt || name.starts_with("STATUS_") || name.starts_with("DBG_")
    }

    pub(super) fn headers_of_mingw(self) -> &'static str {
        match self {
            Self::Ntstatus => {
                "#define WIN32_NO_STATUS\n#include <windows.h>\n#undef WIN32_NO_STATUS\n\
                 #include <ntdef.h>\n#include <ntstatus.h>\n"
            }
            _ => "#include <windows.h>\n",
        }
    }

    /// In the order of the file.
    pub(super) fn read(self) -> Vec<Code> {
        let (name, _) = self.file().split_once('.').unwrap();
        let headers = self.headers_of_mingw();
        let text = preprocessed(name, headers, &["-dD"]);
        let macros = Source::read(&text).macros;
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        let defines = text
            .lines()
            .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
        for (name, value) in defines {
            let number = !value.trim().is_empty()
                && macros
                    .get(name)
                    .is_some_and(|found| found.parameters.is_none() && found.file == self.file());
            if number && self.counts(name) && seen.insert(name) {
                order.push(name);
            }
        }
        let ask = |what: &str, expression: &dyn Fn(&str) -> String| {
            let expressions: Vec<String> = order.iter().map(|name| expression(name)).collect();
            evaluate(&format!("{name}-{what}"), headers, &expressions)
        };
        let values = ask("values", &|name| name.to_owned());
        let signs = ask("signs", &|name| {
            format!(
                "_Generic(({name}), int: 1, long: 1, unsigned: 2, unsigned long: 2, default: 0)"
            )
        });
        let codes = order.iter().zip(values).zip(signs);
        codes
            .map(|((name, value), sign)| {
                assert!(sign != 0, "{name} is of no type with 32 bits");
                Code {
                    name: (*name).to_owned(),
                    value: u32::try_from(value & 0xFFFF_FFFF).unwrap(),
                    signed: sign == 1,
                }
            })
            .collect()
    }
}
