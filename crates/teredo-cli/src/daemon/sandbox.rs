//! The sandbox of a daemon, with systemd or without: a fault in it writes no files but its own, starts no program, and
//! looks into no other process. The units of systemd restrict more.
//!
//! Landlock (landlock(7)) restricts the file system, seccomp (seccomp(2)) the system calls. A kernel without one of them
//! is no reason not to serve.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The things that a daemon still needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// Files and folders to write to.
    writable: Vec<PathBuf>,
    /// The sockets of IPv4 and IPv6 that it opens.
    internet: Internet,
    /// The commands of bpf(2) that it gives.
    bpf: Bpf,
}

/// A use of bpf(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bpf {
    #[default]
    None,
    /// Programs and maps that were loaded before: the elements of maps, and the places of programs.
    Loaded,
    /// New programs, too: those that steer a relay's datagrams, which another relay after a reload loads again.
    Load,
}

impl Bpf {
    const fn commands(self) -> &'static [u64] {
        match self {
            Self::None => &[],
            Self::Loaded => LOADED,
            Self::Load => LOAD,
        }
    }
}

// The commands of bpf(2), of linux/bpf.h.
const MAP_CREATE: u64 = 0;
const MAP_LOOKUP_ELEM: u64 = 1;
const MAP_UPDATE_ELEM: u64 = 2;
const MAP_DELETE_ELEM: u64 = 3;
const MAP_GET_NEXT_KEY: u64 = 4;
const PROG_LOAD: u64 = 5;
const OBJ_GET_INFO_BY_FD: u64 = 15;
const BTF_LOAD: u64 = 18;
const LINK_CREATE: u64 = 28;
const LINK_DETACH: u64 = 34;

/// Each works with descriptors that the process has, and needs no CAP_BPF.
const LOADED: &[u64] = &[
    MAP_LOOKUP_ELEM,
    MAP_UPDATE_ELEM,
    MAP_DELETE_ELEM,
    MAP_GET_NEXT_KEY,
    OBJ_GET_INFO_BY_FD,
    LINK_CREATE,
    LINK_DETACH,
];

const LOAD: &[u64] = &[
    MAP_CREATE,
    MAP_LOOKUP_ELEM,
    MAP_UPDATE_ELEM,
    MAP_DELETE_ELEM,
    MAP_GET_NEXT_KEY,
    PROG_LOAD,
    OBJ_GET_INFO_BY_FD,
    BTF_LOAD,
    LINK_CREATE,
    LINK_DETACH,
];

/// A use of IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Internet {
    #[default]
    None,
    /// TCP sockets that listen, which a reload of the metrics opens anew.
    Listening,
    All,
}

impl Needs {
    /// A client or relay with this socket.
    pub(crate) fn of_a_node(socket: &Path) -> Self {
        let state = std::env::var_os("STATE_DIRECTORY");
        let state = state
            .iter()
            .flat_map(|folders| std::env::split_paths(folders));
        let folder = socket.parent().map(Path::to_path_buf);
        Self {
            writable: folder
                .into_iter()
                .chain(state)
                // A reload may make another interface.
                .chain([PathBuf::from("/dev/net/tun")])
                .collect(),
            internet: Internet::All,
            bpf: Bpf::Loaded,
        }
    }

    /// A relay.
    pub(crate) fn of_a_relay(socket: &Path) -> Self {
        Self {
            bpf: Bpf::Load,
            ..Self::of_a_node(socket)
        }
    }

    /// A server with this socket.
    pub(crate) fn of_a_server(socket: &Path) -> Self {
        Self {
            writable: socket.parent().map(Path::to_path_buf).into_iter().collect(),
            internet: Internet::All,
            bpf: Bpf::Loaded,
        }
    }

    /// A publisher: it talks to the local service and to the servers of its fleet.
    pub(crate) fn of_a_publisher() -> Self {
        Self {
            internet: Internet::All,
            ..Self::default()
        }
    }

    /// An announcer: it asks a node of this host, and writes nothing.
    pub(crate) fn of_an_announcer() -> Self {
        Self {
            internet: Internet::All,
            ..Self::default()
        }
    }

    /// A firewall at the perimeter, with this socket.
    pub(crate) fn of_a_perimeter(socket: &Path) -> Self {
        Self {
            writable: socket.parent().map(Path::to_path_buf).into_iter().collect(),
            internet: Internet::All,
            ..Self::default()
        }
    }

    /// A firewall agent: it talks to the kernel and to services of this host, and listens if it serves metrics.
    pub(crate) fn of_a_firewall(metrics: bool) -> Self {
        Self {
            internet: match metrics {
                true => Internet::Listening,
                false => Internet::None,
            },
            ..Self::default()
        }
    }
}

/// Restricts this thread and all that it will start; call it before there is another one.
pub(crate) fn enter(needs: &Needs) {
    if let Err(error) = restrict_files(&needs.writable) {
        tracing::warn!(%error, "the file system is not restricted");
    }
    if needs.internet == Internet::Listening
        && let Err(error) = restrict_connections()
    {
        tracing::warn!(%error, "connections are not restricted");
    }
    match filter(needs) {
        Ok(program) => {
            if let Err(error) = seccompiler::apply_filter(&program) {
                tracing::warn!(%error, "system calls are not restricted");
            }
        }
        Err(error) => tracing::warn!(%error, "system calls are not restricted"),
    }
}

/// Nothing is written but below these paths, and nothing is executed. Reading is the business of users and modes.
fn restrict_files(writable: &[PathBuf]) -> Result<(), RulesetError> {
    let write = AccessFs::from_write(ABI::V3);
    Ruleset::default()
        .handle_access(write | AccessFs::Execute)?
        .create()?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()?;
    Ok(())
}

/// No TCP connection leads out. A kernel before 6.7 does not know this restriction.
fn restrict_connections() -> Result<(), RulesetError> {
    Ruleset::default()
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .restrict_self()?;
    Ok(())
}

/// System calls that no daemon makes; they fail with EPERM.
const NEVER: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_keyctl,
];

fn filter(needs: &Needs) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().map(|&call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_bpf, refused_commands(needs.bpf)?);
    rules.insert(libc::SYS_socket, refused_sockets(needs.internet)?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    filter.try_into()
}

/// The commands of bpf(2) that are not given.
fn refused_commands(bpf: Bpf) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let commands = bpf.commands();
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let other_than = |&command: &u64| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, command)
    };
    let others: Result<Vec<_>, _> = commands.iter().map(other_than).collect();
    Ok(vec![SeccompRule::new(others?)?])
}

/// The sockets that are not opened.
fn refused_sockets(internet: Internet) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let argument = |index, operator, value: libc::c_int| {
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
    };
    let family = |family| argument(0, SeccompCmpOp::Eq, family);
    let mut rules = vec![SeccompRule::new(vec![family(libc::AF_PACKET)?])?];
    for inet in [libc::AF_INET, libc::AF_INET6] {
        match internet {
            Internet::All => {}
            Internet::None => rules.push(SeccompRule::new(vec![family(inet)?])?),
            Internet::Listening => {
                // The flags of the socket are in the bits above.
                let is = |kind| argument(1, SeccompCmpOp::MaskedEq(0xf), kind);
                for kind in (0..=0xf).filter(|&kind| kind != libc::SOCK_STREAM) {
                    rules.push(SeccompRule::new(vec![family(inet)?, is(kind)?])?);
                }
                let other_than = |protocol| argument(2, SeccompCmpOp::Ne, protocol);
                rules.push(SeccompRule::new(vec![
                    family(inet)?,
                    is(libc::SOCK_STREAM)?,
                    other_than(0)?,
                    other_than(libc::IPPROTO_TCP)?,
                ])?);
            }
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
