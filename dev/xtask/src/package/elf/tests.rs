use super::*;

/// 2.4 is older than 2.34.
#[test]
fn the_newest_version_counts() {
    let mut needs = Needs::default();
    needs.read(
        " 0x0001 (NEEDED)  Shared library: [libgcc_s.so.1]
  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 9
  0x0030:   Name: GLIBC_2.4  Flags: none  Version: 7
  0x0040:   Name: GCC_3.0  Flags: none  Version: 5",
    );
    let wanted = Needs {
        glibc: Some((2, 34)),
        libgcc: true,
    };
    assert_eq!(needs, wanted);
}
