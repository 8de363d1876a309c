use std::sync::Mutex as Lock;

use super::*;

/// The records that reach the log.
#[derive(Clone, Default)]
struct Kept(Arc<Lock<Vec<(u64, Record)>>>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let record = Record::of(event);
        self.0
            .lock()
            .expect("no panic")
            .push((record.likeness(), record));
    }
}

fn records(work: impl FnOnce()) -> Vec<(u64, Record)> {
    let kept = Kept::default();
    let subscriber = tracing_subscriber::registry().with(kept.clone());
    tracing::subscriber::with_default(subscriber, work);
    let kept = kept.0.lock().expect("no panic");
    kept.clone()
}

fn line(record: &Record, colour: bool) -> String {
    let lines = Lines {
        colour,
        target: false,
        time: false,
    };
    let mut line = String::new();
    lines.format(record, &mut line).expect("a string takes it");
    line
}

#[test]
fn lines_are_those_of_tracing_and_cannot_drive_a_terminal() {
    let records = records(|| {
        tracing::info!(port = 40001, name = "a\u{1b}b", text = %"c\n\u{1b}[2Jd", "port in use");
    });
    let (_, record) = &records[0];
    assert_eq!(
        line(record, false),
        " INFO port in use port=40001 name=\"a\\u{1b}b\" text=c??[2Jd\n"
    );
    assert_eq!(
        anstream::adapter::strip_str(&line(record, true)).to_string(),
        line(record, false)
    );
}

/// A stranger varies errors and processes, and the state is what an ordinary line is about.
#[test]
fn fields_count_where_they_are_sensible() {
    let likeness = records(|| {
        for (error, name) in [("reset", "a"), ("refused", "a"), ("reset", "b")] {
            tracing::warn!(error, name, "connection closed");
        }
        for port in [1, 2, 1] {
            tracing::info!(port, "port in use");
        }
    });
    let likeness: Vec<u64> = likeness.iter().map(|(likeness, _)| *likeness).collect();
    assert_eq!(likeness[0], likeness[1]);
    assert_ne!(likeness[0], likeness[2]);
    assert_ne!(likeness[3], likeness[4]);
    assert_eq!(likeness[3], likeness[5]);
}

#[test]
fn a_long_text_is_cut() {
    let records = records(|| tracing::warn!("{}", "é".repeat(100_000)));
    let message = &records[0].1.message;
    assert!(
        message.len() < 5000 && message.ends_with('…'),
        "{}",
        message.len()
    );
}

/// Counts the records that a log admits.
struct Admitted(Log, Arc<Lock<usize>>);

impl<S: Subscriber> Layer<S> for Admitted {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        *self.1.lock().expect("no panic") += usize::from(self.0.admit(event).is_some());
    }
}

/// How many of ten equal lines a log admits.
fn admitted(is_verbose: bool, warn: fn()) -> usize {
    let log = Log {
        start: Instant::now(),
        limit: Mutex::default(),
        is_verbose,
        redaction: None,
        sink: Sink::Lines(Lines {
            colour: false,
            target: false,
            time: false,
        }),
    };
    let count = Arc::default();
    let subscriber = tracing_subscriber::registry().with(Admitted(log, Arc::clone(&count)));
    tracing::subscriber::with_default(subscriber, || (0..10).for_each(|_| warn()));
    *count.lock().expect("no panic")
}

/// Who chose --verbose reads all, and no line of the log says that one is missing. Otherwise the target decides.
#[test]
fn the_target_and_the_choice_say_how_often_a_line_is_written() {
    let usual = || tracing::warn!("the router does not answer");
    let state = || tracing::warn!(target: STATE, "the bucket is not followed");
    let bounded = || tracing::warn!(target: BOUNDED, "the command failed");
    assert_eq!((admitted(false, usual), admitted(true, usual)), (1, 10));
    assert_eq!((admitted(false, state), admitted(true, state)), (6, 10));
    assert_eq!(admitted(false, bounded), 10);
}
