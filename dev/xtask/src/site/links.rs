//! Links: each one leads somewhere, and nothing comes from elsewhere.

use std::path::{Component, Path, PathBuf};

use super::html::Site;

/// The links that lead nowhere, and what a page would load from the network.
pub(super) fn faults(site: &Site) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, page) in &site.pages {
        for link in &page.links {
            let fault = if is_elsewhere(&link.target) {
                link.is_loaded.then_some("is loaded from elsewhere")
            } else {
                dead(site, path, &link.target)
            };
            if let Some(fault) = fault {
                faults.push(format!("{}: {} {fault}", path.display(), link.target));
            }
        }
    }
    for (path, text) in &site.files {
        let loads = |text: &str| {
            text.split("url(")
                .skip(1)
                .any(|target| is_elsewhere(target.trim_start_matches(['"', '\''])))
        };
        if text
            .as_deref()
            .is_some_and(|text| loads(text) || text.contains("@import"))
        {
            faults.push(format!("{}: loads from elsewhere", path.display()));
        }
    }
    faults
}

fn is_elsewhere(target: &str) -> bool {
    target.starts_with("//")
        || ["http:", "https:", "mailto:"]
            .iter()
            .any(|scheme| target.starts_with(scheme))
}

/// The fault of a link from the page `from` within the site, if it has one.
fn dead(site: &Site, from: &Path, target: &str) -> Option<&'static str> {
    if target.starts_with("data:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file.split('?').next() {
        Some("") | None => from.to_path_buf(),
        Some(file) => {
            let Some(path) = joined(from.parent().unwrap_or_else(|| Path::new("")), file) else {
                return Some("leaves the site");
            };
            if file.ends_with('/') {
                path.join("index.html")
            } else {
                path
            }
        }
    };
    let Some(page) = site.pages.get(&path) else {
        return (!site.files.contains_key(&path)).then_some("is not there");
    };
    (!anchor.is_empty() && !page.anchors.contains(anchor)).then_some("has no such anchor")
}

/// `relative` seen from `folder`; none if it leads out of the root.
fn joined(folder: &Path, relative: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in folder.join(relative).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

/// A document of the repository without links to its other files, which are not in the site: the path stands there
/// instead. `folder` is the document's.
pub(super) fn detached(text: &str, folder: &Path) -> String {
    let mut detached = String::with_capacity(text.len());
    let mut is_code = false;
    for line in text.split_inclusive('\n') {
        is_code ^= line.starts_with("```");
        let is_fence = line.starts_with("```");
        detached.push_str(&if is_code || is_fence {
            line.to_owned()
        } else {
            detached_line(line, folder)
        });
    }
    detached
}

fn detached_line(line: &str, folder: &Path) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(middle) = rest.find("](") {
        let (head, tail) = (&rest[..middle], &rest[middle + 2..]);
        let (Some(start), Some(end)) = (head.rfind('['), tail.find(')')) else {
            out.push_str(&rest[..middle + 2]);
            rest = tail;
            continue;
        };
        let (words, target) = (&head[start + 1..], &tail[..end]);
        out.push_str(&head[..start]);
        let file = target.split('#').next().unwrap_or_default();
        match joined(folder, file).filter(|_| !file.is_empty() && !is_elsewhere(target)) {
            Some(path) if words.trim_matches('`') == path.to_string_lossy() => {
                out.push_str(&format!("`{}`", path.display()));
            }
            Some(path) => out.push_str(&format!("{words} (`{}`)", path.display())),
            None => out.push_str(&format!("[{words}]({target})")),
        }
        rest = &tail[end + 1..];
    }
    out + rest
}

#[cfg(test)]
mod tests;
