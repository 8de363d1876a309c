//! The manual page of the settings, teredo.toml(5), from the document that lists them.

use anyhow::{Context as _, Result};

const HEAD: &str = ".TH TEREDO.TOML 5 \"\" teredo teredo
.SH NAME
teredo.toml \\- settings of teredo
.SH SYNOPSIS
.I /etc/teredo/teredo.toml
.br
.I /etc/teredo/teredo.toml.d/*.toml
.SH DESCRIPTION
";

const TAIL: &str = ".SH SEE ALSO
.BR teredo (1),
.BR teredo-client (1),
.BR teredo-server (1),
.BR teredo-relay (1),
.BR teredo-firewall (1),
.BR teredo (7)
";

/// The page, in the language of manual pages: paragraphs, and blocks of code as they are.
pub(super) fn settings(document: &str) -> Result<String> {
    let (_, text) = document
        .split_once("\n\n")
        .context("docs/settings.md has a title alone")?;
    let mut page = HEAD.to_owned();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            page.push_str(if in_code { ".EE\n" } else { ".PP\n.EX\n" });
            in_code = !in_code;
        } else if in_code {
            push_line(&mut page, &escape(line));
        } else if line.is_empty() {
            page.push_str(".PP\n");
        } else {
            push_line(&mut page, &inline(line));
        }
    }
    page.push_str(TAIL);
    Ok(page)
}

/// `code` and **strong** words in bold.
fn inline(line: &str) -> String {
    let mut text = String::new();
    let mut is_bold = false;
    for (number, part) in line.replace("**", "`").split('`').enumerate() {
        if number > 0 {
            is_bold = !is_bold;
            text.push_str(if is_bold { "\\fB" } else { "\\fR" });
        }
        text.push_str(&escape(part));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn push_line(page: &mut String, line: &str) {
    // A line that begins with one of these would be a request.
    if line.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(line);
    page.push('\n');
}

#[cfg(test)]
mod tests;
