use super::*;

#[test]
fn samples_are_divided_by_where_they_were_taken() {
    let script = "\
        ffffffff81a00010 veth_xmit
        ffffffff81a00020 net_rx_action
        ffffffff81a00030 __x64_sys_sendmmsg
            7f0000001000 __sendmmsg

        ffffffff81b00010 _copy_from_iter
        ffffffff81a00030 __x64_sys_sendmmsg
            7f0000001000 __sendmmsg

            55d000001000 teredo::client::Client::handle_tun

            55d000002000 net_rx_action

";
    let shares = divide(script).unwrap();
    assert_eq!((shares.user, shares.kernel, shares.path), (0.5, 0.25, 0.25));
    assert_eq!(divide("\n\n"), None);
}

#[test]
fn the_hottest_functions_come_first_and_idling_is_none() {
    let script =
        "  ffff udp_rcv\n ffff veth_xmit\n\n ff pv_native_safe_halt\n 7f udp_rcv\n f1 udp_rcv\n";
    assert_eq!(
        most_frequent(script).unwrap(),
        "udp_rcv 75 %, veth_xmit 25 %"
    );
    assert_eq!(most_frequent("ff pv_native_safe_halt\n"), None);
}
