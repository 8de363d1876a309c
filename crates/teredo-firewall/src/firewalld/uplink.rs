//! The interfaces by which datagrams arrive: those with a default route of IPv4.

use std::collections::BTreeSet;

/// The names of the interfaces, in the network namespace of the calling thread.
pub(super) fn interfaces() -> BTreeSet<String> {
    parse(&std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default())
}

/// The interfaces of the default routes in the kernel's list: name, destination, gateway, flags, three numbers, mask.
fn parse(routes: &str) -> BTreeSet<String> {
    const UP: u32 = 1;
    const REJECT: u32 = 0x200;
    let default_route = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let &[name, destination, _, flags, _, _, _, mask, ..] = fields.as_slice() else {
            return None;
        };
        let zero = |field: &str| u32::from_str_radix(field, 16) == Ok(0);
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let usable = flags & (UP | REJECT) == UP;
        (usable && zero(destination) && zero(mask)).then(|| name.to_owned())
    };
    routes.lines().filter_map(default_route).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn default_routes_alone_count() {
        let routes = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
half\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0
broken\t00000000
";
        let names: Vec<_> = parse(routes).into_iter().collect();
        assert_eq!(names, ["eth0", "wlan0"]);
    }
}
