//! Families of samples as text in the OpenMetrics format.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::catalogue::Metric;
use crate::text::plain;

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The families of one scrape, in their order.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<Family>);

#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl Exposition {
    /// Adds a metric without labels.
    pub(super) fn one(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.add(metric, [(Vec::new(), value.into())]);
    }

    /// Adds a metric with a sample for each value of its only label.
    pub(super) fn each<V: Into<Value>>(
        &mut self,
        metric: &'static Metric,
        samples: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) {
        let samples = samples.into_iter();
        self.add(
            metric,
            samples.map(|(value, count)| (labels(metric, [value.as_ref()]), count.into())),
        );
    }

    /// The same with two labels.
    pub(super) fn each_pair(
        &mut self,
        metric: &'static Metric,
        samples: impl IntoIterator<Item = ([String; 2], u64)>,
    ) {
        let samples = samples.into_iter();
        self.add(
            metric,
            samples.map(|(values, count)| {
                let values = values.each_ref().map(String::as_str);
                (labels(metric, values), count.into())
            }),
        );
    }

    /// Adds a metric of labels alone.
    pub(super) fn info<const N: usize>(&mut self, metric: &'static Metric, values: [&str; N]) {
        self.add(metric, [(labels(metric, values), Value::Whole(1))]);
    }

    fn add(
        &mut self,
        metric: &'static Metric,
        samples: impl IntoIterator<Item = (Vec<(&'static str, String)>, Value)>,
    ) {
        let samples = samples.into_iter();
        self.0.push(Family {
            metric,
            samples: samples
                .map(|(labels, value)| Sample { labels, value })
                .collect(),
        });
    }

    /// The text, in the OpenMetrics format.
    pub(super) fn into_text(self) -> String {
        let mut written = String::new();
        // Writing to a `String` cannot fail.
        let _ = text::encode(&mut written, &self.into_registry());
        written
    }

    pub(super) fn into_registry(self) -> Registry {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        registry
    }
}

fn labels<const N: usize>(
    metric: &'static Metric,
    values: [&str; N],
) -> Vec<(&'static str, String)> {
    let names = metric.labels.iter().map(|(label, _)| *label);
    names.zip(values.map(plain)).collect()
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in &self.0 {
            let unit = metric.unit.as_ref();
            let mut family =
                encoder.encode_descriptor(metric.name, metric.help, unit, metric.kind)?;
            for sample in samples {
                write(&mut family, metric.kind, sample)?;
            }
        }
        Ok(())
    }
}

fn write(family: &mut MetricEncoder<'_>, kind: MetricType, sample: &Sample) -> fmt::Result {
    let Sample { labels, value } = sample;
    if let MetricType::Info = kind {
        return family.encode_info(labels);
    }
    let mut labelled = family.encode_family(labels)?;
    match (kind, value) {
        (MetricType::Counter, Value::Whole(count)) => {
            labelled.encode_counter::<NoLabelSet, _, u64>(count, None)
        }
        (MetricType::Counter, Value::Real(count)) => {
            labelled.encode_counter::<NoLabelSet, _, u64>(count, None)
        }
        (_, Value::Whole(level)) => labelled.encode_gauge(level),
        (_, Value::Real(level)) => labelled.encode_gauge(level),
    }
}
