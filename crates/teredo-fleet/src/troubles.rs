//! Why a perimeter is not in step: each reason by itself, so that none hides another.

use std::time::Duration;

use tokio::time::Instant;

/// How long a refusal of the servers counts if it is not repeated: what they refuse is tried again sooner.
const REFUSED: Duration = Duration::from_secs(75);

/// The longest text, in characters. Parts of it are other programs' words.
const LONGEST: usize = 1000;

/// The reasons of a status.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// Why the bucket is not followed.
    pub(crate) bucket: Option<String>,
    /// Why the set does not follow.
    pub(crate) set: Option<String>,
    /// Why the questions of the hosts are not heard.
    pub(crate) questions: Option<String>,
    refusal: Option<(Instant, String)>,
}

impl Troubles {
    /// The servers refuse something, such as a permission that is missing. What follows is that no answer comes, so the
    /// refusal tells more than that the bucket is not followed.
    pub(crate) fn refuse(&mut self, now: Instant, words: String) {
        self.refusal = Some((now, words));
    }

    /// Another connection may be of another user.
    pub(crate) fn forget_refusal(&mut self) {
        self.refusal = None;
    }

    /// Forgets a refusal that is not repeated. Returns whether there was one.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.refusal
            .take_if(|(at, _)| now.duration_since(*at) >= REFUSED)
            .is_some()
    }

    /// All of them; none if there is none.
    pub(crate) fn in_words(&self) -> Option<String> {
        let refusal = self.refusal.as_ref().map(|(_, words)| words);
        // A wrong key is refused on both connections.
        let questions = self.questions.as_ref();
        let questions = questions.filter(|told| refusal.is_none_or(|words| !told.contains(words)));
        let troubles: Vec<_> = [
            refusal.or(self.bucket.as_ref()),
            self.set.as_ref(),
            questions,
        ]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
        (!troubles.is_empty()).then(|| troubles.join("; ").chars().take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests;
