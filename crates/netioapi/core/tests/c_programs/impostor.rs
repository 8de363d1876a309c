//! An impostor at the service's socket: of a later version, talking nonsense, or run by another user.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use rustix::process::{Gid, Uid};

/// A user who owns nothing and may do nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// Answers that make no sense, each as it stands on the wire.
pub(crate) const NONSENSE: &[fn() -> Vec<u8>] = &[
    // It hangs up.
    Vec::new,
    || b"220 mail.example.net ESMTP\r\n\0".to_vec(),
    || b"\xff\xfe{}\0".to_vec(),
    || b"\0\0\0\0".to_vec(),
    || b"{\"parameters\":null,\"continues\":true}\0".to_vec(),
    || b"{\"error\":\"com.example.NotToday\",\"parameters\":{}}\0".to_vec(),
    || said(r#""subscription":1,"sequence":9,"kind":"change","port":70000"#),
    || said(r#""subscription":"one","sequence":-9,"kind":7,"port":"30009""#),
    // In the form of a message, but longer than any may be.
    || said(&format!(r#""port":30009,"x":"{}""#, "x".repeat(1 << 20))),
    || [&[b'['; 60_000][..], b"\0"].concat(),
    // Without an end.
    || vec![b' '; ENDLESS],
];

/// More than any buffer takes.
const ENDLESS: usize = 2 << 20;

/// A reply of a stream.
fn said(parameters: &str) -> Vec<u8> {
    format!("{{\"parameters\":{{{parameters}}},\"continues\":true}}\0").into_bytes()
}

/// A service's first message: the port is 30001. It has a field that no subscriber knows.
fn greeting() -> Vec<u8> {
    said(r#""subscription":1,"sequence":1,"kind":"initial","port":30001,"colour":{"r":1}"#)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Greets, and then says a message each time that it is told to.
    Well,
    /// Says nothing.
    Mute,
    /// Greets, and talks nonsense at once.
    Gabble,
    /// Talks nonsense from the beginning.
    Mad,
}

struct Mind {
    manner: Manner,
    nonsense: Vec<u8>,
    /// The messages that it will send to its listeners, and those that it has sent.
    script: VecDeque<Vec<u8>>,
    said: Vec<Vec<u8>>,
    /// Whether it talks nonsense after the last message.
    lapses: bool,
}

/// Listens in the service's place. Its threads end with the test.
#[derive(Clone)]
pub(crate) struct Impostor(Arc<(Mutex<Mind>, Condvar)>);

impl Impostor {
    /// A service of a later version.
    pub(crate) fn later(path: &Path) -> Self {
        let script = [
            r#""subscription":1,"sequence":2,"kind":"moved","port":30002,"mapped":["198.51.100.1",1]"#,
            r#""subscription":1,"sequence":3,"kind":"delete","port":0,"why":"asleep""#,
            r#""subscription":1,"sequence":4,"kind":"revived","port":30003"#,
        ];
        Self::listen(
            path,
            Manner::Well,
            Vec::new(),
            script.map(said).into(),
            false,
        )
    }

    /// Talks nonsense.
    pub(crate) fn mad(path: &Path, number: usize) -> Self {
        Self::listen(
            path,
            Manner::Mad,
            NONSENSE[number](),
            VecDeque::new(),
            false,
        )
    }

    /// Greets well, and talks nonsense when it is told to speak; it is silent then until it may gabble.
    pub(crate) fn lapsing(path: &Path, number: usize) -> Self {
        let nonsense = NONSENSE[number]();
        let script = VecDeque::from([nonsense.clone()]);
        Self::listen(path, Manner::Well, nonsense, script, true)
    }

    /// A service of a later version, run by another user.
    pub(crate) fn stranger(path: &Path) -> Self {
        thread::scope(|scope| {
            let run = || {
                let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
                rustix::thread::set_thread_res_gid(gid, gid, gid).expect("this test needs root");
                rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
                Self::later(path)
            };
            scope.spawn(run).join().unwrap()
        })
    }

    /// Sends the next message to everybody who listens.
    pub(crate) fn speak(&self) {
        let mut mind = self.mind();
        let next = mind.script.pop_front().expect("it has something to say");
        mind.said.push(next);
        if mind.lapses {
            mind.manner = Manner::Mute;
        }
        self.0.1.notify_all();
    }

    pub(crate) fn gabble(&self) {
        self.mind().manner = Manner::Gabble;
        self.0.1.notify_all();
    }

    fn listen(
        path: &Path,
        manner: Manner,
        nonsense: Vec<u8>,
        script: VecDeque<Vec<u8>>,
        lapses: bool,
    ) -> Self {
        let mind = Mind {
            manner,
            nonsense,
            script,
            said: Vec::new(),
            lapses,
        };
        let this = Self(Arc::new((Mutex::new(mind), Condvar::new())));
        let listener = UnixListener::bind(path).unwrap();
        let serving = this.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, serving) = (stream.unwrap(), serving.clone());
                // A listener that has gone does not get the rest.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        this
    }

    fn serve(&self, mut stream: UnixStream) -> std::io::Result<()> {
        let mut call = Vec::new();
        BufReader::new(stream.try_clone()?).read_until(0, &mut call)?;
        let awake = self
            .0
            .1
            .wait_while(self.mind(), |mind| mind.manner == Manner::Mute);
        let mind = awake.unwrap();
        let (manner, nonsense) = (mind.manner, mind.nonsense.clone());
        let mut heard = mind.said.len();
        drop(mind);
        if manner == Manner::Mad {
            return stream.write_all(&nonsense);
        }
        if String::from_utf8_lossy(&call).contains("io.teredo.Client.GetPort") {
            return stream.write_all(b"{\"parameters\":{\"port\":30001,\"since\":0},\"v\":[2]}\0");
        }
        stream.write_all(&greeting())?;
        if manner == Manner::Gabble {
            return stream.write_all(&nonsense);
        }
        loop {
            let mind = self
                .0
                .1
                .wait_while(self.mind(), |mind| mind.said.len() == heard);
            let mind = mind.unwrap();
            let (next, lapses) = (mind.said[heard].clone(), mind.lapses);
            drop(mind);
            heard += 1;
            stream.write_all(&next)?;
            if lapses {
                return Ok(());
            }
        }
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.0.0.lock().unwrap()
    }
}
