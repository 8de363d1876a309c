//! Tests that need a process of their own, with a single thread at its start: the lab of an
//! ordinary user, and the end of a lab that is killed. So they do without the usual harness: the
//! program runs itself in the roles that the environment variable names.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use rustix::process::{Pid, Signal, geteuid, test_kill_process};
use teredo_lab::privilege::{self, Privilege};
use teredo_lab::{Capture, Internet, LabError, NatKind, Process, Receive, until};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROLE: &str = "TEREDO_LAB_TEST_ROLE";
const SECOND: Duration = Duration::from_secs(1);
/// `nobody`, who owns nothing and may do nothing.
const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    let result = match std::env::var(ROLE).as_deref() {
        Ok("tun for all") => tun_for_all(),
        Ok("ordinary user") => lab_of_an_ordinary_user(),
        Ok("without rights") => lab_without_rights(),
        Ok("lab to be killed") => lab_to_be_killed(),
        Ok("lab with signals off") => lab_with_signals_off(),
        _ => tests(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tests() -> Result {
    type Test = fn() -> Result;
    let tests: [(&str, Test); 5] = [
        ("an ordinary user has a lab", an_ordinary_user_has_a_lab),
        (
            "without rights there is no lab",
            without_rights_there_is_no_lab,
        ),
        (
            "a killed lab leaves no process",
            a_killed_lab_leaves_no_process,
        ),
        (
            "the signals of the caller are its own",
            the_signals_of_the_caller_are_its_own,
        ),
        (
            "threads rule a user namespace out",
            threads_rule_a_user_namespace_out,
        ),
    ];
    for (name, test) in tests {
        print!("test {name} ... ");
        std::io::stdout().flush()?;
        test()?;
        println!("ok");
    }
    Ok(())
}

/// This program, in another role. The path works for a user who may not enter the build directory.
fn myself(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env(ROLE, role);
    command
}

fn an_ordinary_user_has_a_lab() -> Result {
    // Whether the machine's own device is open to all is not this test's business.
    if geteuid().is_root() {
        run(myself("tun for all"))
    } else {
        run(as_nobody("ordinary user"))
    }
}

fn without_rights_there_is_no_lab() -> Result {
    run(as_nobody("without rights"))
}

/// A mount namespace of its own, with a TUN device that everybody may open.
fn tun_for_all() -> Result {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(
        Some("tmpfs"),
        "/dev/net",
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )?;
    let everybody = Mode::from_bits_truncate(0o666);
    umask(Mode::empty());
    mknod("/dev/net/tun", SFlag::S_IFCHR, everybody, makedev(10, 200))?;
    run(as_nobody("ordinary user"))?;
    println!("done");
    Ok(())
}

fn as_nobody(role: &str) -> Command {
    let mut command = myself(role);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
    }
    command
}

fn run(mut command: Command) -> Result {
    let output = command.output()?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if !output.status.success() || !out.ends_with("done\n") {
        return Err(format!("{}: {out}{err}", output.status).into());
    }
    Ok(())
}

fn lab_without_rights() -> Result {
    match Internet::new() {
        Err(error @ LabError::NotPermitted { .. }) => {
            assert!(error.to_string().contains("privilege::enter"), "{error}");
            println!("done");
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}

fn lab_of_an_ordinary_user() -> Result {
    assert!(!geteuid().is_root());
    assert_eq!(privilege::enter()?, Privilege::UserNamespace);
    assert_eq!(
        privilege::enter()?,
        Privilege::Administrator,
        "a second call finds the rights"
    );
    privilege::check_tun()?;

    let start = Instant::now();
    let internet = Internet::new()?;
    let address = Ipv4Addr::new(192, 0, 2, 45);
    let server = internet.host("server", &[address])?;
    let socket = server.udp_socket((address, 3544))?;
    socket.set_read_timeout(Some(SECOND))?;
    let core = Capture::start(internet.core(), "to-server")?;
    for (n, kind) in (1..).zip(NatKind::ALL) {
        let public = match kind {
            NatKind::Igd | NatKind::IgdSymmetric => Ipv4Addr::new(44, 128, 0, n),
            // Some have four addresses.
            _ => Ipv4Addr::new(198, 51, 100, 4 * n),
        };
        let home = internet.home(&format!("home-{n}"), kind, public)?;
        let host = home.host(&format!("host-{n}"))?;
        home.set_mapping_lifetime(60 * SECOND)
            .or_else(|error| match kind {
                // No rules, no connection tracking, no timeouts.
                NatKind::None => Ok(()),
                _ => Err(error),
            })?;
        let inside = host.udp_socket((host.ipv4(), 0))?;
        inside.set_read_timeout(Some(SECOND))?;
        inside.send_to(b"question", (address, 3544))?;
        let (_, seen) = socket.receive_from(&mut [0; 16])?;
        assert!(home.publics().iter().any(|public| seen.ip() == *public));
        socket.send_to(b"answer", seen)?;
        inside.receive(&mut [0; 16])?;
    }
    assert!(start.elapsed() < 10 * SECOND);
    core.wait_for(SECOND, "a question on the wire", |frame| {
        frame.udp().is_some_and(|udp| udp.payload == b"question")
    })?;
    let echo = Process::spawn(
        server.namespace(),
        "echo",
        Command::new("echo").arg("hello"),
    )?;
    echo.wait_for_line("hello", SECOND)?;
    println!("done");
    Ok(())
}

/// Not even SIGKILL leaves a process of the lab behind.
fn a_killed_lab_leaves_no_process() -> Result {
    let mut lab = myself("lab to be killed").stdout(Stdio::piped()).spawn()?;
    let stdout = lab.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let child = Pid::from_raw(line.trim().parse()?).ok_or("no process")?;
    test_kill_process(child)?;
    lab.kill()?;
    lab.wait()?;
    until(5 * SECOND, "the child of the killed lab to die", || {
        test_kill_process(child).err()
    })?;
    Ok(())
}

fn lab_to_be_killed() -> Result {
    privilege::enter()?;
    let host = Internet::new()?.host("host", &[Ipv4Addr::new(192, 0, 2, 1)])?;
    // From a thread that ends before its child does: the child must not die of that.
    let child = std::thread::scope(|scope| {
        scope
            .spawn(|| Process::spawn(host.namespace(), "child", &mut child()))
            .join()
    });
    let child = child.map_err(|_| "the thread panicked")??;
    child.wait_for_line("ready", 5 * SECOND)?;
    println!("{}", child.id());
    loop {
        std::thread::park();
    }
}

/// A program that knows nothing of the lab and runs until it is killed.
fn child() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; exec sleep 600"]);
    command
}

/// A caller that ignores or blocks signals, as nohup(1) does, does not change what they do to the lab's processes.
fn the_signals_of_the_caller_are_its_own() -> Result {
    let mut command = Command::new("env");
    command
        .args(["--ignore-signal=HUP,INT,QUIT,PIPE", "--block-signal=TERM"])
        .arg(std::env::current_exe()?)
        .env(ROLE, "lab with signals off");
    run(command)
}

fn lab_with_signals_off() -> Result {
    privilege::enter()?;
    let host = Internet::new()?.host("host", &[Ipv4Addr::new(192, 0, 2, 1)])?;
    for signal in [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::PIPE,
        Signal::TERM,
    ] {
        let process = Process::spawn(host.namespace(), "child", &mut child())?;
        process.wait_for_line("ready", 5 * SECOND)?;
        process.signal(signal)?;
        let status = process.wait(5 * SECOND)?;
        assert_eq!(status.signal(), Some(signal.as_raw()));
    }
    println!("done");
    Ok(())
}

fn threads_rule_a_user_namespace_out() -> Result {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || stopped.recv());
    let result = privilege::enter();
    drop(stop);
    let _ = thread.join();
    match (result, geteuid().is_root()) {
        (Err(privilege::PrivilegeError::Threads), false) | (Ok(Privilege::Administrator), true) => {
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}
