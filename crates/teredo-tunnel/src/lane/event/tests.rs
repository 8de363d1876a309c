use std::convert::Infallible;
use std::sync::Mutex;

use super::*;

/// A thread that ends by itself is reported, by a panic too; an end that the owner asked for is not.
#[test]
fn an_unexpected_end_is_reported() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heard);
    let events: Events<Infallible> = Arc::new(move |event| told.lock().unwrap().push(event));
    let panics = std::thread::spawn({
        let events = Arc::clone(&events);
        move || {
            let _guard = EndGuard::new(&events);
            std::panic::resume_unwind(Box::new(()));
        }
    });
    assert!(panics.join().is_err());
    EndGuard::new(&events).expected();
    assert_eq!(*heard.lock().unwrap(), [LaneEvent::Ended]);
}
