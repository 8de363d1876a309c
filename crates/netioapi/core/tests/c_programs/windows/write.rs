//! The files that are made from Windows' names: the list, the headers, and the checks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::kinds::Kind;
use super::mingw::{Code, Codes, Flavour, Names};

/// Annotations that are an attribute here: sal.h has them.
const ATTRIBUTES: &[&str] = &[
    "_Check_return_",
    "__checkReturn",
    "__fallthrough",
    "__inner_checkReturn",
];

/// Annotations for analysers that become something, here or there.
const EXPANDED: &[&str] = &[
    "_Check_return_",
    "__CLRCALL_OR_CDECL",
    "__checkReturn",
    "__fallthrough",
    "__inner_checkReturn",
];

/// Annotations that are names of their own in the C++ library's headers, and those that may become such names.
const NAMES_IN_CPP: &[&str] = &[
    "__deref",
    "__in",
    "__in_opt",
    "__inout",
    "__inout_opt",
    "__out",
    "__out_opt",
    "__range",
];

/// The list.
pub(super) fn list(names: &[Names; 2]) -> String {
    let mut text = String::from(
        "# Basic types and annotations that the headers of mingw-w64 define and ours have, by flavour.\n\
         # Made by tests/c_programs/windows.rs, which says what counts. For x86-64; widths in bytes.\n",
    );
    for flavour in Flavour::ALL {
        write!(text, "\n[{}]\n", flavour.name()).unwrap();
        for (name, kind) in &names[flavour.index()] {
            let kind = match kind {
                Kind::Number { sign, bytes } => format!("{sign} {bytes}"),
                Kind::Pointer { target: 0 } => "pointer to void".to_owned(),
                Kind::Pointer { target } => format!("pointer to {target}"),
                Kind::Handle => "handle".to_owned(),
                Kind::Structure { bytes, alignment } => {
                    format!("structure {bytes}, aligned to {alignment}")
                }
                Kind::Annotation { parameters, .. } => match parameters {
                    None => "annotation".to_owned(),
                    Some(count) => format!("annotation of {count}"),
                },
            };
            writeln!(text, "{name}: {kind}").unwrap();
        }
    }
    text
}

/// The header of the annotations for analysers.
pub(super) fn annotations(names: &[Names; 2]) -> String {
    let mut macros = BTreeMap::new();
    for (name, kind) in names.iter().flatten() {
        if let Kind::Annotation {
            parameters,
            analysis: true,
        } = kind
        {
            macros.insert(&**name, *parameters);
        }
    }
    macros.retain(|name, _| !ATTRIBUTES.contains(name));
    let mut text = header("sal.h", "Annotations, which become nothing.");
    for (name, parameters) in &macros {
        if !NAMES_IN_CPP.contains(name) {
            text += &define(&format!("{name}{}", list_of(*parameters)), "");
        }
    }
    text += "/* Headers of the C++ library have these as names of their own: a C++ source that uses them defines\n\
             TEREDO_OLD_ANNOTATIONS, and includes that library's headers ahead of this one. */\n\
             #if !defined(__cplusplus) || defined(TEREDO_OLD_ANNOTATIONS)\n";
    for (name, parameters) in macros {
        if NAMES_IN_CPP.contains(&name) {
            text += &define(&format!("{name}{}", list_of(parameters)), "");
        }
    }
    text + "#endif\n"
}

/// The header of a set of status codes.
pub(super) fn codes(codes: Codes, list: &[Code]) -> String {
    let mut text = match codes {
        Codes::Winerror => header("winerror.h", "Win32 errors, and HRESULTs."),
        Codes::Ntstatus => header("ntstatus.h", "NTSTATUS."),
        Codes::Winnt => header(
            "winnt.h",
            "Status codes that programs have without ntstatus.h.",
        ),
    };
    for Code {
        name,
        value,
        signed,
    } in list
    {
        let value = match codes {
            Codes::Ntstatus if !name.starts_with("FACILITY_") => {
                format!("((NTSTATUS)0x{value:08X})")
            }
            Codes::Winnt => format!("((DWORD)0x{value:08X})"),
            _ if !*signed && *value > 0x7FFF_FFFF => format!("0x{value:08X}"),
            _ if !*signed => format!("{value}U"),
            _ if *value > 0x7FFF_FFFF => format!("((HRESULT)0x{value:08X})"),
            _ if *value > 0xFFFF => format!("0x{value:08X}"),
            _ => value.to_string(),
        };
        text += &define(name, &value);
    }
    text
}

fn header(includer: &str, what: &str) -> String {
    format!(
        "/* {what} For {includer}, which includes this.\n\
         \x20* Names and numbers are read from the headers of mingw-w64 by tests/c_programs/windows.rs, which made this\n\
         \x20* file and compares it. */\n"
    )
}

fn define(name: &str, value: &str) -> String {
    let (plain, _) = name.split_once('(').unwrap_or((name, ""));
    let define = format!("#define {name} {value}");
    format!("#ifndef {plain}\n{}\n#endif\n", define.trim_end())
}

/// The parameters of a macro, by number.
fn list_of(parameters: Option<usize>) -> String {
    let names = ["a", "b", "c", "d", "e"];
    parameters.map_or_else(String::new, |count| {
        format!("({})", names[..count].join(", "))
    })
}

/// The beginning of every check.
const CHECK: &str = "\
#ifdef __cplusplus
#define CHECK(condition, name) static_assert(condition, name)
#else
#define CHECK(condition, name) _Static_assert(condition, name)
#endif
#define TEXT_OF(...) #__VA_ARGS__
#define EXPANDED(...) TEXT_OF(__VA_ARGS__)
";

/// The source that compiles if each name is what the list says.
pub(super) fn checks(names: &Names) -> String {
    let mut text = CHECK.to_owned();
    for (name, kind) in names {
        let check = match kind {
            // C compares no reals where it wants a constant.
            Kind::Number {
                sign: "real",
                bytes,
            } => format!("sizeof({name}) == {bytes}"),
            Kind::Number { sign, bytes } => {
                let comparison = if *sign == "signed" { "<" } else { ">" };
                format!("sizeof({name}) == {bytes} && ({name})-1 {comparison} ({name})1")
            }
            Kind::Pointer { target: 0 } | Kind::Handle => {
                format!("sizeof({name}) == sizeof(void *)")
            }
            Kind::Pointer { target } => {
                format!("sizeof({name}) == sizeof(void *) && sizeof(*({name})0) == {target}")
            }
            Kind::Structure { bytes, alignment } => {
                let within = format!("struct {{ char before; {name} one; }}");
                writeln!(text, "typedef {within} aligned_{name};").unwrap();
                format!(
                    "sizeof({name}) == {bytes} && sizeof(aligned_{name}) == {bytes} + {alignment}"
                )
            }
            Kind::Annotation {
                parameters,
                analysis,
            } => {
                let arguments = list_of(*parameters);
                // The check expands it with as many arguments, which must fit.
                let length = if !analysis || EXPANDED.contains(&&**name) {
                    "> 0"
                } else {
                    "== 1"
                };
                let cpp = NAMES_IN_CPP.contains(&&**name);
                if cpp {
                    text += "#ifndef __cplusplus\n";
                }
                writeln!(text, "#ifndef {name}\n#error {name}\n#endif").unwrap();
                let expanded = format!("sizeof(EXPANDED({name}{arguments})) {length}");
                writeln!(text, "CHECK({expanded}, \"{name}\");").unwrap();
                if cpp {
                    text += "#endif\n";
                }
                continue;
            }
        };
        writeln!(text, "CHECK({check}, \"{name}\");").unwrap();
    }
    text
}

/// The source that compiles if each code has its value.
pub(super) fn code_checks(codes: Codes, list: &[Code]) -> String {
    let mut text = CHECK.to_owned();
    for Code {
        name,
        value,
        signed,
    } in list
    {
        write!(
            text,
            "CHECK(sizeof({name}) == 4 && (DWORD)({name}) == 0x{value:08X}"
        )
        .unwrap();
        // The functions of netioapi.h return one type here, whatever is included.
        if codes != Codes::Winnt {
            let sign = if *signed { "<" } else { ">" };
            write!(text, " && 0 * ({name}) - 1 {sign} 0 * ({name})").unwrap();
        }
        writeln!(text, ", \"{name}\");").unwrap();
    }
    text
}
