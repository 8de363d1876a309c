use super::*;

#[test]
fn more_is_higher_and_further_right() {
    let series = [Series {
        name: "teredo",
        points: vec![(64.0, 10.0), (1280.0, 100.0)],
    }];
    let plot = Plot {
        title: "a title",
        x: "bytes",
        y: "packets a second",
        series: &series,
    };
    let svg = plot.svg();
    let (_, line) = svg.split_once("<polyline points=\"").unwrap();
    let (points, _) = line.split_once('"').unwrap();
    let numbers: Vec<f64> = points
        .split([' ', ','])
        .map(|number| number.parse().unwrap())
        .collect();
    let [x0, y0, x1, y1] = numbers[..] else {
        panic!("{points}");
    };
    assert!(x0 < x1 && y0 > y1, "{points}");
    assert!(
        x1 <= WIDTH && y1 >= TOP && y0 <= HEIGHT - BOTTOM,
        "{points}"
    );
    for text in ["a title", "bytes", "packets a second", "teredo", "1280"] {
        assert!(svg.contains(text), "no {text}");
    }
}
