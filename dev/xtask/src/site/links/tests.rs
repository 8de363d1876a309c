use std::collections::BTreeMap;

use super::*;
use crate::site::html::Page;

fn site(pages: &[(&str, &str)], files: &[(&str, &str)]) -> Site {
    let pages = pages
        .iter()
        .map(|&(path, html)| (path.into(), Page::parse(html)));
    let files = files
        .iter()
        .map(|&(path, text)| (path.into(), Some(text.to_owned())));
    Site {
        pages: pages.collect(),
        files: BTreeMap::from_iter(files),
    }
}

#[test]
fn links_within_the_site_must_lead_somewhere() {
    let site = site(
        &[
            (
                "index.html",
                "<a href=\"#here\"><a href='in/b.html?x#there'><a href=in/><img src=c.css>\
                 <h1 id=here><a href=https://example.net/><a href=#gone><a href=in/b.html#gone><a href=gone.html>\
                 <a href=../out.html><img src=https://example.net/x.png>",
            ),
            ("in/b.html", "<h1 id=there><a href=../index.html#here>"),
            ("in/index.html", ""),
        ],
        &[("c.css", "a { background: url('x.png') }")],
    );
    assert_eq!(
        faults(&site),
        [
            "index.html: #gone has no such anchor",
            "index.html: in/b.html#gone has no such anchor",
            "index.html: gone.html is not there",
            "index.html: ../out.html leaves the site",
            "index.html: https://example.net/x.png is loaded from elsewhere",
        ]
    );
}

#[test]
fn an_example_may_not_be_run_elsewhere() {
    let site = site(&[("index.html", "<pre class='playground'>")], &[]);
    assert_eq!(
        faults(&site),
        ["index.html: https://play.rust-lang.org/ is loaded from elsewhere"]
    );
}

#[test]
fn a_style_sheet_may_load_nothing_from_elsewhere() {
    for text in [
        "a { src: url(\"https://example.net/f\") }",
        "@import 'a.css';",
    ] {
        assert_eq!(
            faults(&site(&[("index.html", "")], &[("c.css", text)])),
            ["c.css: loads from elsewhere"]
        );
    }
}

#[test]
fn a_document_loses_its_links_to_the_repository() {
    let detached = |text| detached(text, Path::new("docs"));
    assert_eq!(
        detached(
            "see [`f.rs`](../crates/a/f.rs#L1) and [here](#there), [RFC](https://example.net/)\n"
        ),
        "see `f.rs` (`crates/a/f.rs`) and [here](#there), [RFC](https://example.net/)\n"
    );
    assert_eq!(detached("[docs/b.md](b.md)"), "`docs/b.md`");
    let code = "```rust\na[0](b)\n```\n";
    assert_eq!(detached(code), code);
    assert_eq!(detached("](x [y]("), "](x [y](");
}
