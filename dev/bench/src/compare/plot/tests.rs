use super::*;

/// The numbers of an attribute, over all elements of a kind.
fn numbers(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
    let value = |line: &str| {
        let (_, rest) = line.split_once(&format!(" {attribute}=\""))?;
        rest.split_once('"')?.0.parse().ok()
    };
    let elements = svg.lines().filter(|line| line.starts_with(element));
    elements.filter_map(value).collect()
}

#[test]
fn more_is_higher_and_further_right() {
    let estimate = |low, median, high| Estimate { median, low, high };
    let series = [Series {
        name: "teredo",
        points: vec![
            (64.0, estimate(9e3, 10e3, 12e3)),
            (1280.0, estimate(95e3, 100e3, 101e3)),
        ],
    }];
    let plot = Plot {
        title: "a title",
        x: "bytes",
        y: "packets a second",
        base: 2.0,
        series: &series,
    };
    let svg = plot.svg().unwrap();
    let (x, y) = (
        numbers(&svg, "<circle", "cx"),
        numbers(&svg, "<circle", "cy"),
    );
    assert!(x.len() == 2 && x[0] < x[1] && y[0] > y[1], "{x:?} {y:?}");
    // The numbers of ticks stand in lines of their own.
    let words: Vec<&str> = svg.lines().collect();
    for text in ["bytes", "teredo", "64", "1024", "20k", "100k"] {
        assert!(words.contains(&text), "no {text}");
    }
    assert!(svg.contains("packets a second: a title"));
    // Each interval is a bar with two ends, and the legend has one line.
    let own = svg
        .lines()
        .filter(|line| line.contains("stroke=\"#1B6CA8\""));
    let bars = own.filter(|line| line.starts_with("<line") || line.starts_with("<polyline"));
    assert_eq!(bars.count(), 2 * 3 + 2, "{svg}");
}
