use super::*;

fn arrived(rates: [f64; 3]) -> Vec<Run> {
    let run = |arrived| Run {
        arrived,
        ..Run::default()
    };
    rates.map(run).to_vec()
}

/// The median of the pairs counts: one hiccup of the machine refuses nothing.
#[test]
fn a_load_that_did_not_arrive_is_a_shortfall() {
    assert_eq!(
        shortfall("x", 1000.0, &arrived([960.0, 500.0, 990.0])),
        None
    );
    assert_eq!(shortfall("x", 0.0, &arrived([0.0; 3])), None);
    assert_eq!(
        shortfall("miredo", 37_672.0, &arrived([33_128.0; 3])).unwrap(),
        "of miredo's load of 37672 datagrams a second 33128 arrived, 88 %"
    );
}
