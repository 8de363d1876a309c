use crate::sample::*;

use super::*;

#[test]
fn a_train_is_one_datagram_with_several_packets() {
    let one = data(teredo(MAPPED), teredo(PEER));
    let contents = Contents::read(&one.repeat(5), false).unwrap();
    assert_eq!((contents.train, contents.stray), (5, 0));
    assert_eq!(contents.trailers, []);

    let other = [one.clone(), data(teredo(PEER), teredo(MAPPED))].concat();
    assert_eq!(Contents::read(&other, false).unwrap().train, 1);
}

#[test]
fn a_cut_packet_is_named_by_its_header() {
    let whole = ping(teredo(MAPPED), HOST.parse().unwrap(), &[7; 100]);
    let mut kept = whole[..60].to_vec();
    kept.resize(whole.len(), 0);
    assert!(matches!(
        Contents::read(&kept, true).unwrap().message,
        Message::EchoRequest(Echo {
            identifier: 1,
            length: 100,
            ..
        })
    ));
    assert!(matches!(
        Contents::read(&kept, false).unwrap().message,
        Message::Other {
            is_corrupt: true,
            ..
        }
    ));
}

/// R-OLD-01
#[test]
fn the_obsolete_prefix_has_the_same_layout() {
    let old = embedded("3ffe:831f:c000:201:8000:11b7:34ff:8efa".parse().unwrap()).unwrap();
    assert_eq!(old.server.to_string(), "192.0.2.1");
    assert_eq!(old.mapped.to_string(), "203.0.113.5:61000");
    assert_eq!(embedded(HOST.parse().unwrap()), None);
}
