//! `teredo lab anycast`, with real BIRD (Debian's package bird2).

use super::*;

const IN_TIME: Duration = Duration::from_secs(60);
/// BFD's time and a second.
const BACK_MS: f64 = 1300.0;

/// Two relays share an address, and two servers a pair. One that is killed or cut off is replaced within BFD's time plus
/// one second, one that is drained or overloaded without a loss; a client keeps its address and its peers throughout.
#[test]
fn relays_and_servers_replace_each_other() {
    let stage = Stage::new();
    let words = ["lab", "anycast", "--json"];
    let (steps, verdict) = stage.told_within(IN_TIME, &stage.as_root(), &words);
    assert_replaced(&steps);
    assert_eq!(verdict["ok"], true);
}

/// No root is needed, where user namespaces are allowed. A kill -9 in the middle leaves no process, those of BIRD included.
#[test]
fn an_ordinary_user_may_watch_them_and_leave() {
    let stage = Stage::new();
    let words = ["lab", "anycast", "--json"];
    let mut lab = Guard(
        stage
            .command(&stage.as_nobody("666"), &words)
            .spawn()
            .unwrap(),
    );
    let mut steps = BufReader::new(lab.0.stdout.take().unwrap()).lines();
    let killed = |step: &str| step.contains("a relay is killed") && step.contains("\"ok\":true");
    let told = steps.find(|step| step.as_ref().is_ok_and(|step| killed(step)));
    assert!(told.is_some(), "the story broke off");
    lab.0.kill().unwrap();
    lab.0.wait().unwrap();
    let left = || stage.processes().is_empty();
    eventually(SECOND, "the end of all processes", left);
}

#[track_caller]
fn assert_replaced(steps: &[Value]) {
    assert_eq!(steps.len(), 16);
    let facts = |title: &str| {
        let step = steps.iter().find(|step| step["title"] == title);
        step.unwrap_or_else(|| panic!("no step {title}"))["facts"].clone()
    };
    for title in ["a relay is killed", "its host is cut off"] {
        let silence = facts(title)["silence_ms"].as_f64().unwrap();
        assert!(silence <= BACK_MS, "{title}: {silence} ms");
    }
    let server = facts("a server is killed");
    assert!(
        server["server_silence_ms"].as_f64().unwrap() <= BACK_MS,
        "{server}"
    );
    for title in [
        "a server is killed",
        "a relay is drained",
        "an announcer is killed",
        "a relay is overloaded",
    ] {
        let facts = facts(title);
        assert_eq!(facts["lost"], 0, "{title}: {facts}");
        assert!(facts["sent"].as_u64().unwrap() > 100, "{title}: {facts}");
    }
    assert_eq!(facts("a relay is overloaded")["changes"], 2);
}

#[test]
fn without_bird_the_package_is_named() {
    let stage = Stage::new();
    let hidden = "mount --bind /dev/null /usr/sbin/bird && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--mount", "--", "sh", "-c", hidden].map(str::to_owned);
    let output = stage.run(&wrapper, &["lab", "anycast"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("apt-get install bird2"), "{text}");
    assert!(output.stdout.is_empty());
}
