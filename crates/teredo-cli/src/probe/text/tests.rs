use super::*;
use crate::probe::core::tests::kinds;
use crate::probe::core::tests::network::Network;

fn shown(report: &Report) -> String {
    anstream::adapter::strip_str(&Text(report).to_string()).to_string()
}

#[test]
fn look() {
    for (_, behaviour, _) in kinds() {
        let report = Network::new(behaviour).probe();
        println!("{}\n\n-----\n", shown(&report));
    }
}
