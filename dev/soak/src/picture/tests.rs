use super::*;
use crate::journal::Invariant;
use crate::report::kinds;

fn outcome(kind: &'static str, began: u64, lifted: u64, back: u64, in_time: bool) -> Outcome {
    Outcome {
        episode: 1,
        kind,
        faults: vec![format!("{kind} <&\">")],
        began_ms: began,
        lifted_ms: lifted,
        back_ms: back,
        bound_ms: 5_000,
        in_time,
    }
}

fn drawn(outcomes: &[Outcome], breaches: &[Breach]) -> String {
    let sample = |second: u32| Sample {
        at: f64::from(second),
        life: second / 30,
        memory_kib: 8_192.0,
        threads: 4.0,
        descriptors: 120.0,
        calm: true,
    };
    let samples = BTreeMap::from([(Role::Client, (0..60).map(sample).collect())]);
    draw(&Scene {
        seed: 7,
        length_ms: 60_000,
        caption: "two cores",
        outcomes,
        kinds: &kinds(outcomes),
        breaches,
        samples: &samples,
    })
}

/// Each opened element is closed, and nothing from outside is taken for an element.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(begin) = rest.find('<') {
        let end = rest[begin..].find('>').expect("an element ends") + begin;
        let element = &rest[begin + 1..end];
        assert!(!element.contains('<'), "{element}");
        if let Some(name) = element.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{element}");
        } else if !element.ends_with('/') {
            open.push(element.split(' ').next().unwrap());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_fault_and_its_recovery_are_bars_in_the_lane_of_the_kind() {
    let svg = drawn(&[outcome("loss", 15_000, 30_000, 45_000, true)], &[]);
    assert_well_formed(&svg);
    // A quarter of the time is a quarter of the width.
    let quarter = (RIGHT - LEFT) / 4.0;
    let bar = |from: f64, colour: &str| {
        format!(
            "<rect x=\"{from:.1}\" y=\"92.0\" width=\"{quarter:.1}\" height=\"11\" rx=\"1\" fill=\"{colour}\"/>"
        )
    };
    assert!(svg.contains(&bar(LEFT + quarter, FAULT)), "{svg}");
    assert!(svg.contains(&bar(LEFT + 2.0 * quarter, RECOVERY)), "{svg}");
    assert!(svg.contains(">loss</text>"));
    assert!(svg.contains("no invariant broken"));
}

#[test]
fn a_breach_is_red_and_named() {
    let breach = Breach {
        invariant: Invariant::Inside,
        at_ms: 30_000,
        episode: 1,
        text: String::from("<script>"),
        history: Vec::new(),
        evidence: String::new(),
    };
    let svg = drawn(&[outcome("loss", 0, 0, 9_000, false)], &[breach]);
    assert_well_formed(&svg);
    assert!(svg.contains("1 invariant broken"));
    assert!(svg.contains("Inside: &lt;script&gt;"));
    assert!(svg.contains(&format!("fill=\"{BROKEN}\"/>\n</g>")));
}

/// A process that was killed begins another curve.
#[test]
fn lives_are_curves_of_their_own() {
    let svg = drawn(&[], &[]);
    assert_eq!(svg.matches("<polyline").count(), 4);
    assert_well_formed(&svg);
}

#[test]
fn times_and_numbers_are_short() {
    assert_eq!(time(65_000), "1:05");
    assert_eq!(time(3_600_000), "1:00:00");
    assert_eq!(short(12), "12 ms");
    assert_eq!(short(1_240), "1.2 s");
    assert_eq!(short(12_400), "12 s");
    assert!((round_up(7.3) - 10.0).abs() < 1e-9);
    assert!((round_up(120.0) - 200.0).abs() < 1e-9);
    assert!((step_ms(3_600_000.0) - 300_000.0).abs() < 1e-9);
    assert!((step_ms(40_000.0) - 5_000.0).abs() < 1e-9);
}
