use super::*;

#[test]
fn a_boot_is_shown_as_it_was_written() {
    let id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    assert!(matches!(Boot::new(id), Boot::Id(_)));
    let others = [
        "0F1E2D3C-4b5a-6978-8796-a5b4c3d2e1f0",
        "0f1e2d3c4b5a-6978-8796-a5b4c3d2e1f0-",
        "+f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
        "first",
        "",
    ];
    for text in others {
        assert!(matches!(Boot::new(text), Boot::Other(_)), "{text}");
    }
    for text in others.into_iter().chain([id]) {
        assert_eq!(Boot::new(text).to_string(), text);
    }
    assert_ne!(Boot::new(id), Boot::new(others[0]));
}
