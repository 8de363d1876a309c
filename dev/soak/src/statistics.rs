//! Percentiles, and the growth of a process over several lives.

/// The value below or at which `share` of the values lie (nearest rank); none of no values.
pub(crate) fn percentile(values: &[u64], share: f64) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The use of a process at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// In seconds.
    pub(crate) at: f64,
    pub(crate) value: f64,
}

/// How a quantity grows, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    /// Per second.
    pub(crate) slope: f64,
    /// The time that the lives cover together, in seconds.
    pub(crate) covered: f64,
    pub(crate) points: usize,
}

impl Growth {
    /// By how much it grew in all the time that was observed, as the line has it.
    pub(crate) fn total(&self) -> f64 {
        self.slope * self.covered
    }
}

/// The common slope of several lives of a process, each with a level of its own: a process that was killed starts at
/// another level, and that is no growth. None with fewer than three points, or no spread in time.
pub(crate) fn growth(lives: &[Vec<Point>]) -> Option<Growth> {
    let (mut products, mut squares, mut covered, mut points) = (0.0, 0.0, 0.0, 0);
    for life in lives.iter().filter(|life| life.len() >= 2) {
        let count = life.len() as f64;
        let mean_at = life.iter().map(|point| point.at).sum::<f64>() / count;
        let mean = life.iter().map(|point| point.value).sum::<f64>() / count;
        for point in life {
            products += (point.at - mean_at) * (point.value - mean);
            squares += (point.at - mean_at).powi(2);
        }
        covered += life[life.len() - 1].at - life[0].at;
        points += life.len();
    }
    (points >= 3 && squares > 0.0).then(|| Growth {
        slope: products / squares,
        covered,
        points,
    })
}

#[cfg(test)]
mod tests;
