use super::*;

const IPSET_CMD_CREATE: u16 = 2;
const IPSET_ATTR_REVISION: u16 = 4;
const IPSET_ATTR_FAMILY: u16 = 5;
const IPSET_ATTR_DATA: u16 = 7;
const NESTED: u16 = 1 << 15;
const NETWORK_ORDER: u16 = 1 << 14;

/// Makes a set in the namespace of the calling thread, for the networks that need a range of 192.0.2.0/24.
pub(crate) fn create(name: &str, kind: &str) {
    let address = |last: u8| {
        let mut nested = Vec::new();
        push(&mut nested, NETWORK_ORDER | 1, &[192, 0, 2, last]);
        nested
    };
    let mut data = Vec::new();
    if kind.starts_with("bitmap:") {
        push(&mut data, NESTED | 1, &address(0));
        push(&mut data, NESTED | 2, &address(255));
    }
    let mut body = vec![NFPROTO_IPV4, 0, 0, 0];
    push(&mut body, IPSET_ATTR_PROTOCOL, &[PROTOCOL]);
    push(
        &mut body,
        IPSET_ATTR_SETNAME,
        format!("{name}\0").as_bytes(),
    );
    push(
        &mut body,
        IPSET_ATTR_TYPENAME,
        format!("{kind}\0").as_bytes(),
    );
    push(&mut body, IPSET_ATTR_REVISION, &[3]);
    push(&mut body, IPSET_ATTR_FAMILY, &[NFPROTO_IPV4]);
    push(&mut body, NESTED | IPSET_ATTR_DATA, &data);
    let mut netlink = Netlink::open().unwrap();
    let command = NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_CREATE;
    let made = netlink.exchange(command, NLM_F_REQUEST | NLM_F_ACK, &body, |_| {});
    made.unwrap_or_else(|| panic!("a kernel with ipset and the type {kind}"));
}

fn match_of(number: u16) -> Xt {
    Xt {
        name: "set".to_owned(),
        revision: 4,
        data: number.to_ne_bytes().to_vec(),
    }
}

#[test]
fn what_is_not_known_judges_packets() {
    assert!(Ipsets(None).judges(&match_of(1)));
    let known = Ipsets(Some(HashSet::from([2])));
    assert!(!known.judges(&match_of(1)));
    assert!(known.judges(&match_of(2)));
    let mut short = match_of(1);
    short.data.clear();
    assert!(known.judges(&short));
}
