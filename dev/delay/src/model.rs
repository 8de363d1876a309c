//! Models of other nodes: RFC 4380's timers by the letter, and those of miredo 1.2.6.
//!
//! A model is a row of exchanges. Each crosses the link of a NAT so many times, takes so many delays, and is repeated
//! after a pause if one of its datagrams is lost. It has none of the work, the queues and the mistakes of a real node, so
//! it is rather too fast.
//!
//! | | RFC 4380 with RFC 5991 | miredo 1.2.6 |
//! |---|---|---|
//! | qualification | the primary, then the secondary address; 3 solicitations 4 s apart each | the primary alone; 3 solicitations 4 s apart, then again after 100 s |
//! | bubbles and tests | by timers, 2 s apart, 4 in all | when another packet comes, more than 2 s after the last: with a packet a second, 3 s apart; 4 in all |
//! | warm start | as a cold one | as a cold one |

use std::time::Duration;

use crate::event::Event;
use crate::place::NATIVE;
use crate::timing::{LIMIT, PERIOD};

/// Another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// RFC 4380 as amended by RFC 5991, by the letter.
    Rfc4380,
    /// miredo 1.2.6 at both ends.
    Miredo,
}

/// One exchange.
struct Exchange {
    /// How often its datagrams cross a link with losses.
    crossings: i32,
    takes: Duration,
    /// Between two attempts.
    pause: Duration,
    /// The attempts, after which nothing happens for `rest`.
    attempts: u32,
    /// `None`: it fails.
    rest: Option<Duration>,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Model {
    /// How long the event takes, as [`time`](crate::time) does for the program.
    pub fn time(self, event: Event, delay: Duration, loss: f64, seed: u64) -> Option<Duration> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut total = Duration::ZERO;
        for exchange in self.exchanges(event, delay) {
            total += exchange.run(loss, &mut rng)?;
        }
        (total <= LIMIT).then_some(total)
    }

    fn exchanges(self, event: Event, delay: Duration) -> Vec<Exchange> {
        let qualify = || Exchange {
            crossings: 2,
            takes: delay * 2,
            pause: seconds(4),
            attempts: 3,
            rest: match self {
                Self::Rfc4380 => None,
                Self::Miredo => Some(seconds(100)),
            },
        };
        let contact = |crossings, takes| Exchange {
            crossings,
            takes,
            pause: match self {
                Self::Rfc4380 => seconds(2),
                Self::Miredo => seconds(3),
            },
            attempts: 4,
            rest: None,
        };
        let data = |crossings, takes| Exchange {
            crossings,
            takes,
            pause: PERIOD,
            attempts: u32::MAX,
            rest: None,
        };
        let native = NATIVE * 2;
        match (event, self) {
            (Event::Cold | Event::Warm, Self::Miredo) => vec![qualify()],
            (Event::Cold | Event::Warm, Self::Rfc4380) => vec![qualify(), qualify()],
            // The indirect bubble, the peer's direct one; then data.
            (Event::ClientToClient, _) => vec![contact(4, delay * 3), data(4, delay * 2)],
            // The test through the server, the relay's bubble through the server, its answer, the test's answer; then data.
            (Event::ClientToNative, _) => {
                vec![contact(4, delay * 5 + native), data(2, delay * 2 + native)]
            }
            // The relay's bubble through the server and its answer; data; the client's test of the host; the answer.
            (Event::NativeToClient, _) => vec![
                contact(2, NATIVE + delay * 3),
                data(1, delay),
                contact(2, delay * 2 + native),
                data(1, delay + NATIVE),
            ],
        }
    }
}

impl Exchange {
    fn run(&self, loss: f64, rng: &mut fastrand::Rng) -> Option<Duration> {
        let mut waited = Duration::ZERO;
        while waited <= LIMIT {
            for _ in 0..self.attempts {
                if (0..self.crossings).all(|_| rng.f64() >= loss) {
                    return Some(waited + self.takes);
                }
                waited += self.pause;
                if waited > LIMIT {
                    return None;
                }
            }
            waited += self.rest?;
        }
        None
    }
}
