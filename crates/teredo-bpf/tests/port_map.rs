//! The pinned map, and the example of a firewall that reads it. Needs root.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapInfo};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use teredo_bpf::{PORT_LEASE, PortMap, PortMapError, ShownPort};

static ADMIT: &[u8] = aya::include_bytes_aligned!("../object/admit.o");

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

/// Runs `test` with a BPF file system that only its thread has.
fn apart(test: impl FnOnce(&Path) + Send) {
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        unshare(CloneFlags::CLONE_NEWNS).expect("it needs root");
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).unwrap();
        let point = folder.path();
        mount(none, point, Some("bpf"), MsFlags::empty(), none).unwrap();
        test(point);
        nix::mount::umount(point).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap());
}

/// The map's clock.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn shown(port: u16, sequence: u64) -> ShownPort {
    ShownPort {
        port,
        sequence,
        interface: 7,
    }
}

/// The example, loaded with the pinned map.
struct Firewall(Ebpf);

impl Firewall {
    fn load(pin: &Path) -> Self {
        let mut loader = EbpfLoader::new();
        loader.btf(None).map_pin_path("teredo_port", pin);
        let mut ebpf = loader.load(ADMIT).unwrap();
        program(&mut ebpf).load().unwrap();
        Self(ebpf)
    }

    fn verdict(&mut self, frame: &[u8]) -> i32 {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::new()
        };
        let result = program(&mut self.0).test_run(options).unwrap();
        result.return_value as i32
    }

    fn admits(&mut self, port: u16) -> bool {
        self.verdict(&datagram(port, [0; 2])) == XDP_PASS
    }
}

fn program(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut("admit").unwrap();
    program.try_into().unwrap()
}

/// A UDP datagram over IPv4 and Ethernet.
fn datagram(port: u16, fragment: [u8; 2]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0]);
    frame.extend(fragment);
    frame.extend([64, 17, 0, 0, 198, 51, 100, 7, 192, 0, 2, 45]);
    frame.extend(4096_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    frame
}

/// The value, by the layout of the header.
fn value(pin: &Path) -> Option<(u64, u64, u32, u16)> {
    let map = MapData::from_pin(pin).unwrap();
    let map: HashMap<_, u32, [u8; 24]> = aya::maps::Map::from_map_data(map)
        .unwrap()
        .try_into()
        .unwrap();
    let value = map.get(&0, 0).ok()?;
    Some((
        u64::from_ne_bytes(value[..8].try_into().unwrap()),
        u64::from_ne_bytes(value[8..16].try_into().unwrap()),
        u32::from_ne_bytes(value[16..20].try_into().unwrap()),
        u16::from_ne_bytes(value[20..22].try_into().unwrap()),
    ))
}

#[test]
fn a_program_follows_the_port() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let map = PortMap::open(&pin, PORT_LEASE).unwrap();
        let mut firewall = Firewall::load(&pin);
        assert!(!firewall.admits(40000), "there is no port yet");
        assert!(!firewall.admits(0));

        let before = now();
        map.show(shown(40000, 1)).unwrap();
        assert!(firewall.admits(40000));
        assert!(!firewall.admits(40001));
        assert!(!firewall.admits(0));
        let (until, sequence, interface, port) = value(&pin).unwrap();
        assert_eq!((sequence, interface, port), (1, 7, 40000));
        let lease = Duration::from_nanos(until) - PORT_LEASE;
        assert!((before..=now()).contains(&lease), "{lease:?}");

        map.show(shown(40001, 2)).unwrap();
        assert!(firewall.admits(40001));
        assert!(!firewall.admits(40000), "the former port");
        // Of another thread, and late.
        map.show(shown(40000, 1)).unwrap();
        assert!(firewall.admits(40001));

        map.show(shown(0, 3)).unwrap();
        map.show(shown(0, 3)).unwrap();
        assert!(!firewall.admits(40001), "the node has stopped");
        assert_eq!(value(&pin), None);
        map.show(shown(40002, 4)).unwrap();
        assert!(firewall.admits(40002));
        // Again, for another lease.
        let (first, ..) = value(&pin).unwrap();
        map.show(shown(40002, 4)).unwrap();
        let (second, ..) = value(&pin).unwrap();
        assert!(second > first, "{first} {second}");
    });
}

#[test]
fn the_example_leaves_the_rest_to_others() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let map = PortMap::open(&pin, PORT_LEASE).unwrap();
        map.show(shown(40000, 1)).unwrap();
        let mut firewall = Firewall::load(&pin);
        let mut tcp = datagram(1, [0; 2]);
        tcp[14 + 9] = 6;
        assert_eq!(firewall.verdict(&tcp), XDP_PASS);
        let mut ipv6 = datagram(1, [0; 2]);
        ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(firewall.verdict(&ipv6), XDP_PASS);
        // A fragment that is not the first has no ports.
        let fragment = datagram(40000, [0, 1]);
        assert_eq!(firewall.verdict(&fragment), XDP_DROP);
        let mut options = datagram(40000, [0; 2]);
        options[14] = 0x46;
        assert_eq!(firewall.verdict(&options), XDP_DROP, "the header is longer");
    });
}

/// The exception dies with its maker: what a killed node has left expires.
#[test]
fn a_state_that_is_not_renewed_expires() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let map = PortMap::open(&pin, Duration::ZERO).unwrap();
        map.show(shown(40000, 1)).unwrap();
        let (until, ..) = value(&pin).unwrap();
        assert!(Duration::from_nanos(until) <= now());
        assert!(!Firewall::load(&pin).admits(40000));
    });
}

#[test]
fn the_next_node_takes_the_map_over_and_programs_go_on() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let killed = PortMap::open(&pin, PORT_LEASE).unwrap();
        let mut firewall = Firewall::load(&pin);
        killed.show(shown(40000, 9)).unwrap();
        // It removes nothing, as a process that is killed.
        drop(killed);
        assert!(firewall.admits(40000));

        let next = PortMap::open(&pin, PORT_LEASE).unwrap();
        assert!(firewall.admits(40000), "its port may have been kept");
        next.show(shown(40001, 1)).unwrap();
        assert!(firewall.admits(40001), "it reads the same map");
        assert!(!firewall.admits(40000));
        next.show(shown(0, 2)).unwrap();
        assert!(!firewall.admits(40001));
    });
}

#[test]
fn a_second_node_does_not_take_the_map_of_the_first() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let first = PortMap::open(&pin, PORT_LEASE).unwrap();
        first.show(shown(40000, 1)).unwrap();
        let error = PortMap::open(&pin, PORT_LEASE).unwrap_err();
        assert!(matches!(error, PortMapError::InUse(_)), "{error:?}");
        assert!(Firewall::load(&pin).admits(40000));
        // Other nodes have other folders.
        let other = PortMap::open(&point.join("teredo/home/port"), PORT_LEASE).unwrap();
        other.show(shown(40001, 1)).unwrap();
        assert_eq!(value(&pin).unwrap().3, 40000);
    });
}

#[test]
fn others_can_only_read() {
    apart(|point| {
        let pin = point.join("teredo/port");
        let _map = PortMap::open(&pin, PORT_LEASE).unwrap();
        let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&pin), 0o644);
        assert_eq!(mode(&point.join("teredo")), 0o755);
        let flags = MapInfo::from_pin(&pin).unwrap().map_flags();
        assert_eq!(flags & BPF_F_RDONLY_PROG, BPF_F_RDONLY_PROG);
    });
}

#[test]
fn a_map_of_another_kind_is_replaced() {
    apart(|point| {
        let pin = point.join("teredo/port");
        fs::create_dir(point.join("teredo")).unwrap();
        fs::set_permissions(point.join("teredo"), Permissions::from_mode(0o755)).unwrap();
        let array = Array::<MapData, u64>::create(1, 0).unwrap();
        array.pin(&pin).unwrap();
        let check = || {
            let map = PortMap::open(&pin, PORT_LEASE).unwrap();
            map.show(shown(40000, 1)).unwrap();
            assert!(Firewall::load(&pin).admits(40000));
            let flags = MapInfo::from_pin(&pin).unwrap().map_flags();
            assert_eq!(flags & BPF_F_RDONLY_PROG, BPF_F_RDONLY_PROG);
        };
        check();
        fs::remove_file(&pin).unwrap();
        // Of the same form, but programs may write to it.
        let writable = HashMap::<MapData, u32, [u8; 24]>::create(1, 1).unwrap();
        writable.pin(&pin).unwrap();
        check();
    });
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    apart(|point| {
        let folder = point.join("teredo");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o775)).unwrap();
        let error = PortMap::open(&folder.join("port"), PORT_LEASE).unwrap_err();
        assert!(matches!(error, PortMapError::Untrusted(_)), "{error:?}");
    });
}

#[test]
fn without_the_file_system_the_error_says_how_to_mount_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = PortMap::open(&folder.path().join("teredo/port"), PORT_LEASE).unwrap_err();
    let missing = folder.path().join("teredo");
    assert!(
        matches!(&error, PortMapError::NoFileSystem(named) if *named == missing),
        "{error:?}"
    );
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
    assert!(!missing.exists());
}

#[test]
fn without_cap_bpf_it_is_not_permitted() {
    apart(|point| {
        deny_bpf();
        let error = PortMap::open(&point.join("teredo/port"), PORT_LEASE).unwrap_err();
        assert!(matches!(error, PortMapError::NotPermitted(_)), "{error:?}");
    });
}

/// From here on, the kernel permits this thread no call of bpf(2).
fn deny_bpf() {
    let always = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ge, 0).unwrap();
    let rule = SeccompRule::new(vec![always]).unwrap();
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_bpf, vec![rule])]),
        SeccompAction::Allow,
        SeccompAction::Errno(Errno::PERM.raw_os_error() as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}
