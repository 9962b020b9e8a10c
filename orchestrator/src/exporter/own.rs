//! What the exporter says of itself.

use super::messages::{Data, Gauge, Metric, Number, NumberDataPoint, Sum, Temporality};

/// What was counted since the exporter began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// When it began, milliseconds since 1970.
    pub began_ms: u64,
    /// Requests that a receiver took.
    pub successes: u64,
    /// Requests that came to nothing, each try.
    pub failures: u64,
    /// Collections that were dropped.
    pub dropped: u64,
    /// Points that a receiver did not want out of a request that it took.
    pub rejected: u64,
    /// When a receiver last took something, milliseconds since 1970.
    pub last_success_ms: Option<u64>,
}

impl Own {
    /// Returns them as metrics of this moment.
    #[must_use]
    pub(super) fn metrics(&self, now_ms: u64) -> Vec<Metric> {
        let sums = [
            ("exports.success", "Requests that a receiver took", self.successes),
            ("exports.failure", "Requests that came to nothing", self.failures),
            ("collections.dropped", "Collections that no receiver took", self.dropped),
            ("points.rejected", "Points that a receiver did not want", self.rejected),
        ];
        let sums = sums.map(|(name, about, value)| {
            let value = Number::Whole(i64::try_from(value).unwrap_or(i64::MAX));
            let data_points = vec![point(self.began_ms, now_ms, value)];
            let aggregation_temporality = Temporality::Cumulative.into();
            let sum = Sum { data_points, aggregation_temporality, is_monotonic: true };
            metric(name, (about, "1"), Data::Sum(sum))
        });
        let last = self.last_success_ms.map(|at_ms| {
            let data_points = vec![point(0, now_ms, Number::Real(at_ms as f64 / 1000.0))];
            let about = "When a receiver last took something, since 1970";
            metric("last_success_timestamp", (about, "s"), Data::Gauge(Gauge { data_points }))
        });
        sums.into_iter().chain(last).collect()
    }
}

fn metric(name: &str, (about, unit): (&str, &str), data: Data) -> Metric {
    Metric {
        name: format!("microsandbox.collector.{name}"),
        description: about.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
    }
}

fn point(start_ms: u64, at_ms: u64, value: Number) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start_ms * 1_000_000,
        time_unix_nano: at_ms * 1_000_000,
        value: Some(value),
        attributes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_11_5_the_exporter_tells_of_itself() {
        let own = Own { began_ms: 5, successes: 4, failures: 3, dropped: 2, ..Own::default() };
        let names = |own: &Own| own.metrics(9).into_iter().map(|metric| metric.name).collect();
        let mut want = vec![
            "microsandbox.collector.exports.success",
            "microsandbox.collector.exports.failure",
            "microsandbox.collector.collections.dropped",
            "microsandbox.collector.points.rejected",
        ];
        let found: Vec<String> = names(&own);
        assert_eq!(found, want, "nothing was taken yet");
        want.push("microsandbox.collector.last_success_timestamp");
        let own = Own { last_success_ms: Some(1500), ..own };
        let found: Vec<String> = names(&own);
        assert_eq!(found, want);
        let Some(Data::Gauge(gauge)) = own.metrics(9).pop().unwrap().data else { panic!() };
        assert_eq!(gauge.data_points[0].value, Some(Number::Real(1.5)));
        let Some(Data::Sum(sum)) = own.metrics(9).remove(0).data else { panic!() };
        let first = &sum.data_points[0];
        assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (5_000_000, 9_000_000));
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    }
}
