//! A request as it goes over the wire, made when it is sent.
//!
//! One metric is laid out at a time, over bytes that all its points share; what is held beside the
//! request itself is the points of that one.

use prost::Message as _;
use prost::bytes::Bytes;

use super::collection::Point;
use super::instruments::{INSTRUMENTS, Instrument, Kind, Value};
use super::messages::{
    Data, ExportMetrics, Gauge, Metric, Number, NumberDataPoint, Resource, ResourceMetrics, Scope,
    ScopeMetrics, Sum, Temporality,
};
use super::own::Own;

/// Returns the request that tells these points.
#[must_use]
pub(super) fn points(resource: &Resource, points: &[Point]) -> Bytes {
    let metrics = INSTRUMENTS.iter().enumerate();
    let metrics = metrics.filter_map(|(at, instrument)| metric(at, instrument, points));
    request(resource, metrics.map(|metric| metric.encode_to_vec().into()).collect())
}

/// Returns the request that tells of the exporter itself.
#[must_use]
pub(super) fn own(resource: &Resource, own: &Own, now_ms: u64) -> Bytes {
    let metrics = own.metrics(now_ms);
    request(resource, metrics.iter().map(|metric| metric.encode_to_vec().into()).collect())
}

fn request(resource: &Resource, metrics: Vec<Bytes>) -> Bytes {
    let scope = Scope { name: "msb".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics }];
    let resource = Some(resource.clone());
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics }];
    ExportMetrics { resource_metrics }.encode_to_vec().into()
}

/// Returns what an instrument says of these points; `None` where it says nothing.
fn metric(at: usize, instrument: &Instrument, points: &[Point]) -> Option<Metric> {
    let data_points = points.iter().filter_map(|point| data_point(at, instrument.kind, point));
    let data_points: Vec<NumberDataPoint> = data_points.collect();
    if data_points.is_empty() {
        return None;
    }
    let data = match instrument.kind {
        Kind::Level => Data::Gauge(Gauge { data_points }),
        Kind::Growth => {
            let aggregation_temporality = Temporality::Cumulative.into();
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
        }
    };
    Some(Metric {
        name: instrument.name.to_owned(),
        description: instrument.about.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
    })
}

fn data_point(at: usize, kind: Kind, point: &Point) -> Option<NumberDataPoint> {
    let value = match point.values.get(at)? {
        Value::Whole(number) => Number::Whole(number),
        Value::Real(number) => Number::Real(number),
    };
    let start_ms = match kind {
        Kind::Level => 0,
        // A host's clock may have been set back since.
        Kind::Growth => point.started_at_ms.min(point.at_ms),
    };
    Some(NumberDataPoint {
        start_time_unix_nano: start_ms.saturating_mul(1_000_000),
        time_unix_nano: point.at_ms.saturating_mul(1_000_000),
        value: Some(value),
        attributes: point.who.attributes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::figures_of_tests::point;
    use crate::exporter::messages::attribute;

    #[test]
    fn rt_11_5_a_request_holds_each_metric_once_with_a_point_for_each_machine() {
        let resource = Resource { attributes: vec![attribute("service.name", "msb")] };
        let bytes = points(&resource, &[point(3), point(4)]);
        let request = ExportMetrics::decode(bytes).unwrap();
        let [of_resource] = &request.resource_metrics[..] else { panic!() };
        assert_eq!(of_resource.resource.as_ref(), Some(&resource));
        let [of_scope] = &of_resource.scope_metrics[..] else { panic!() };
        assert_eq!(of_scope.scope.as_ref().unwrap().name, "msb");
        let metrics = of_scope.metrics.iter().map(|bytes| Metric::decode(bytes.clone()).unwrap());
        let metrics: Vec<Metric> = metrics.collect();
        let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        let [time, memory, uptime, restarts] = names[..] else { panic!("{names:?}") };
        assert_eq!((time, memory), ("microsandbox.cpu.time", "microsandbox.memory.usage"));
        assert_eq!((uptime, restarts), ("microsandbox.uptime", "microsandbox.restarts"));
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!() };
        assert_eq!(sum.data_points.len(), 2);
        let first = &sum.data_points[0];
        assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (1_000_000, 3_000_000));
        assert_eq!(first.value, Some(Number::Real(2.0)));
        let Some(Data::Gauge(gauge)) = &metrics[1].data else { panic!() };
        assert_eq!(gauge.data_points[1].value, Some(Number::Whole(4)));
        assert_eq!(gauge.data_points[1].start_time_unix_nano, 0);
        assert_eq!(gauge.data_points[1].attributes, point(4).who.attributes);
    }
}
