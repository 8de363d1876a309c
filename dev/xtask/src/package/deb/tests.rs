use super::*;

#[test]
fn every_file_has_the_package_that_needs_it() {
    for (path, package) in [
        ("usr/bin/teredo", "teredo"),
        ("etc/teredo/teredo.toml", "teredo"),
        ("usr/lib/systemd/system/teredo-client.service", "teredo"),
        (
            "usr/lib/systemd/system/teredo-firewall.service",
            "teredo-firewall",
        ),
        (
            "usr/lib/systemd/system-preset/90-teredo-firewall.preset",
            "teredo-firewall",
        ),
        // The command is in the program.
        ("usr/share/man/man1/teredo-firewall.1.gz", "teredo"),
        ("usr/share/man/man3/GetTeredoPort.3.gz", "libteredo-dev"),
        ("usr/include/teredo/netioapi.h", "libteredo-dev"),
        ("usr/include/teredo/teredo_port.h", "libteredo-dev"),
        (
            "usr/lib/x86_64-linux-gnu/libteredo-netio.so",
            "libteredo-dev",
        ),
        (
            "usr/lib/x86_64-linux-gnu/libteredo-netio.a",
            "libteredo-dev",
        ),
        (
            "usr/lib/x86_64-linux-gnu/libteredo-netio.so.0",
            "libteredo0",
        ),
        (
            "usr/lib/x86_64-linux-gnu/libteredo-netio.so.0.1.0",
            "libteredo0",
        ),
        (
            "usr/lib/x86_64-linux-gnu/pkgconfig/teredo-netio.pc",
            "libteredo-dev",
        ),
    ] {
        assert_eq!(owner(Path::new(path)), package, "{path}");
    }
}

#[test]
fn libraries_are_named_with_the_version_that_is_needed() {
    let needs = Needs {
        glibc: Some((2, 34)),
        libgcc: true,
    };
    assert_eq!(libraries(&needs), "libc6 (>= 2.34), libgcc-s1");
}
