//! Routers with PCP or NAT-PMP.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use teredo_gateway::{Protocol, Refusal, State};

use crate::router::{DEADLINE, LOCAL, OUTSIDE, Owner, Store, address};

/// A server of PCP that gives these answers, and the requests that it got.
pub(crate) fn server(
    mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (Ipv4Addr, Receiver<Vec<u8>>) {
    let address = address();
    let socket = UdpSocket::bind((address, 5351)).unwrap();
    let (sender, requests) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 1200];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = &buffer[..length];
            // The test may have ended.
            let _ = sender.send(request.to_vec());
            if let Some(answer) = answer(request) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    (address, requests)
}

/// RFC 6887 §11.1: the answer of an honest server whose clock began `epoch` seconds ago.
pub(crate) fn mapped(request: &[u8], epoch: u32) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[1] |= 0x80;
    answer[2..4].fill(0);
    answer[8..12].copy_from_slice(&epoch.to_be_bytes());
    answer[12..24].fill(0);
    answer[44..60].copy_from_slice(&OUTSIDE.to_ipv6_mapped().octets());
    answer
}

fn lifetime(request: &[u8]) -> u32 {
    u32::from_be_bytes(request[4..8].try_into().unwrap())
}

/// R6081-5.3.3-02, R6081-5.3.5-01 by PCP: the nonce that asked takes back, also in another process.
#[test]
fn a_mapping_of_pcp_is_taken_back_with_its_nonce() {
    let (router, requests) = server(|request| Some(mapped(request, 1000)));
    let owner = Owner::asking(router);
    let mapping = owner.mapping();
    assert_eq!(mapping.protocol, Protocol::Pcp);
    assert_eq!(*mapping.external.ip(), OUTSIDE);
    assert_eq!((mapping.lifetime, mapping.epoch), (Some(1200), Some(1000)));
    let first = requests.recv().unwrap();
    assert_eq!(first[36], 17, "UDP");
    assert_eq!(first[40..42], LOCAL.port().to_be_bytes());
    assert_eq!(first[42..44], LOCAL.port().to_be_bytes());

    // Killed: the thread of another process finds the file.
    let left = *owner.store.0.lock().unwrap();
    assert_eq!(left, Some(mapping));
    let store = Store::default();
    *store.0.lock().unwrap() = left;
    let next = Owner::start(store);
    let removal = requests.recv().unwrap();
    assert_eq!(lifetime(&removal), 0);
    assert_eq!(removal[24..36], first[24..36], "the same nonce");
    next.end();
}

/// R6081-5.3.3-04: the process may die after the router has made the mapping and before the answer comes, so it is written
/// down first, with all that taking it back needs.
#[test]
fn a_mapping_is_written_down_before_it_is_asked_for() {
    let store = Store::default();
    let file = store.clone();
    let (router, _requests) = server(move |request| {
        let written = file.0.lock().unwrap().expect("written down");
        let nonce = written.nonce.expect("a nonce");
        assert_eq!(nonce.map(u32::to_be_bytes).concat(), request[24..36]);
        Some(mapped(request, 0))
    });
    let owner = Owner::start(store);
    owner.want(router);
    owner.mapping();
}

#[test]
fn an_answer_with_another_nonce_is_no_answer() {
    let (router, _requests) = server(|request| {
        let mut answer = mapped(request, 1000);
        answer[24] ^= 1;
        Some(answer)
    });
    let owner = Owner::asking(router);
    assert_eq!(
        owner.answer(),
        State::Refused(Refusal::Malformed(Protocol::Pcp))
    );
}

#[test]
fn answers_that_are_none_make_no_mapping() {
    type Lie = fn(&[u8]) -> Vec<u8>;
    let lies: [Lie; 7] = [
        |_| vec![],
        |_| vec![2],
        |request| mapped(request, 0)[..59].to_vec(),
        // Another port.
        |request| {
            let mut answer = mapped(request, 0);
            answer[41] ^= 1;
            answer
        },
        // The request itself.
        <[u8]>::to_vec,
        // An external address of IPv6.
        |request| {
            let mut answer = mapped(request, 0);
            answer[44] = 0x20;
            answer
        },
        // Over at once.
        |request| {
            let mut answer = mapped(request, 0);
            answer[4..8].fill(0);
            answer
        },
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let (router, _requests) = server(move |request| Some(lie(request)));
        let owner = Owner::asking(router);
        assert!(matches!(owner.answer(), State::Refused(_)), "lie {index}");
    }
}

/// RFC 6887 §8.5: a router that has restarted has forgotten the mapping; the next renewal makes it again.
#[test]
fn a_router_that_has_restarted_is_asked_again() {
    let mut epochs = [1000, 3].into_iter();
    let (router, requests) = server(move |request| Some(mapped(request, epochs.next()?)));
    let owner = Owner::asking(router);
    assert_eq!(owner.mapping().epoch, Some(1000));
    owner.gateway.look();
    assert_eq!(owner.mapping().epoch, Some(3));
    let [first, second] = [requests.recv().unwrap(), requests.recv().unwrap()];
    assert_eq!(first[24..36], second[24..36], "the same nonce");
    assert_eq!(lifetime(&second), 1200);
}

/// A change of the network while the router is being asked is not lost: it is asked again without a pause.
#[test]
fn a_look_during_a_question_is_another_question() {
    let (router, requests) = server(|_| None);
    let owner = Owner::asking(router);
    let nonce = |request: Vec<u8>| request[24..36].to_vec();
    let first = nonce(requests.recv().unwrap());
    owner.gateway.look();
    assert_eq!(owner.answer(), State::Refused(Refusal::Silent));
    // The first question is repeated once, with the same nonce.
    while nonce(requests.recv_timeout(DEADLINE).expect("a question")) == first {}
}

/// RFC 6886: a router that has the older protocol alone.
#[test]
fn nat_pmp_is_used_if_the_router_has_no_pcp() {
    let (router, requests) = server(|request| match request {
        [2, ..] => Some(vec![0, 0x81, 0, 1, 0, 0, 3, 0xe8]),
        [0, 0] => {
            let head = [0, 0x80, 0, 0, 0, 0, 3, 0xe8];
            Some([&head[..], &OUTSIDE.octets()].concat())
        }
        [0, 1, _, _, inner @ ..] => {
            let head = [0, 0x81, 0, 0, 0, 0, 3, 0xe8];
            Some([&head[..], inner].concat())
        }
        _ => None,
    });
    let owner = Owner::asking(router);
    let mapping = owner.mapping();
    assert_eq!(mapping.protocol, Protocol::NatPmp);
    assert_eq!(mapping.external.to_string(), "192.0.2.1:40000");
    owner.end();
    let last = requests.try_iter().last().unwrap();
    assert_eq!(last[..2], [0, 1]);
    assert_eq!(last[8..12], [0; 4], "a lifetime of 0 takes it back");
}

/// A refusal is the answer even if the router has no UPnP.
#[test]
fn the_routers_error_is_the_reason() {
    let (router, _requests) = server(|request| {
        let mut answer = mapped(request, 0);
        answer[3] = 2;
        Some(answer)
    });
    let owner = Owner::asking(router);
    let refusal = Refusal::Refused(Protocol::Pcp, "not authorized".to_owned());
    assert_eq!(owner.answer(), State::Refused(refusal));
}
