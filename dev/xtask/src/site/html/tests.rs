use super::*;

#[test]
fn anchors_links_and_code_are_found() {
    let page = Page::parse(
        "<!-- <a href=no> --><h2 id=\"a-b\"><a class='x' href=\"#a-b\">T</a></h2><img src=b.svg>\n\
         <script>if (1 < 2) '<a href=\"no\">'</script><hr/><a name=old>",
    );
    assert_eq!(Vec::from_iter(&page.anchors), ["a-b", "old"]);
    let links: Vec<_> = page
        .links
        .iter()
        .map(|link| (link.target.as_str(), link.is_loaded))
        .collect();
    assert_eq!(links, [("#a-b", false), ("b.svg", true)]);
}

#[test]
fn code_is_text_with_its_language() {
    let page = Page::parse(
        "<code class=\"language-sh hljs\">a &lt;b&gt; <span class=\"c\">&amp;lt; &#x27;c&#39;</span></code><code>d</code>",
    );
    let code = |language: Option<&str>, text: &str| Code {
        language: language.map(str::to_owned),
        text: text.to_owned(),
    };
    assert_eq!(
        page.code,
        [code(Some("sh"), "a <b> &lt; 'c'"), code(None, "d")]
    );
}

#[test]
fn truncated_html_ends() {
    for html in [
        "<",
        "<a",
        "<a href",
        "<a href=",
        "<a href=\"x",
        "<!-- ",
        "<script>",
        "<code>a",
    ] {
        Page::parse(html);
    }
}
