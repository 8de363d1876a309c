//! The library's threads must not run the program's signal handlers.

use std::mem::MaybeUninit;

/// Signals about the thread that gets them, or that are meant to end the program.
const OF_THE_THREAD: [libc::c_int; 7] = [
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGTRAP,
];

/// While this lives, this thread gets no signals that are sent to the process. Threads that it starts meanwhile never
/// get one, nor do those that they start.
pub(crate) struct Deferred {
    before: libc::sigset_t,
    /// The mask belongs to the thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Deferred {
    pub(crate) fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the set before it is changed and read, and pthread_sigmask the other one:
        // with these arguments neither can fail.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for signal in OF_THE_THREAD {
                libc::sigdelset(all.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        Self {
            before,
            _thread: std::marker::PhantomData,
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        // SAFETY: the set is initialised, and the old one is not asked for.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}
