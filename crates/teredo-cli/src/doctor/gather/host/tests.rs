use super::*;

/// OpenVPN's `redirect-gateway def1` adds 0.0.0.0/1 and 128.0.0.0/1, by the VPN's router, before the default route.
#[test]
fn half_of_the_internet_is_no_default_route() {
    let row = |link: &str, destination: [u8; 4], router: [u8; 4], length: u32| {
        let number = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0).to_be_bytes();
        let [destination, router, mask] = [destination, router, mask].map(number);
        format!("{link}\t{destination}\t{router}\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n")
    };
    let vpn = [10, 8, 0, 1];
    let usual = [192, 168, 1, 1];
    let table = [
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
            .to_owned(),
        row("tun0", [0; 4], vpn, 1),
        row("eth0", [203, 0, 113, 5], usual, 32),
        row("eth0", [0; 4], usual, 0),
        row("tun0", [128, 0, 0, 0], vpn, 1),
        row("eth0", [192, 168, 1, 0], [0; 4], 24),
        row("eth1", [0; 4], [0; 4], 0),
    ];
    let found = routers(&table.concat());
    let route = |to_host| Routed {
        to_host,
        router: usual.into(),
        link: "eth0".to_owned(),
    };
    assert_eq!(found, [route(false), route(true)]);
}
