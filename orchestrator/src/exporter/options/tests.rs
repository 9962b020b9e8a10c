//! Flags over variables over what is built in, as tables.

use super::*;

fn sending(
    flags: SendingFlags,
    pairs: &[(&str, &str)],
) -> (Result<Sending, OptionsError>, Vec<String>) {
    let environment = Environment::of(pairs);
    let mut variables = Variables::new(&environment, Signal::Metrics);
    let sending = Sending::of(flags, EXPORT_TIMEOUT, &environment, &mut variables);
    (sending, variables.warnings())
}

fn url(sending: &Sending) -> String {
    let Endpoint { is_tls, authority, path, .. } = &sending.way.endpoint;
    format!("{}://{authority}{path}", if *is_tls { "https" } else { "http" })
}

const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
const SPECIAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://one:1/x");
const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");

#[test]
fn an_endpoint_is_exact_but_for_the_one_of_all_signals() {
    let flag = Some("http://flag:2/as/written".to_owned());
    for (flag, pairs, want) in [
        (flag.clone(), &[GENERAL, SPECIAL, HTTP][..], "http://flag:2/as/written"),
        (None, &[GENERAL, SPECIAL, HTTP], "http://one:1/x"),
        (None, &[GENERAL, HTTP], "http://all:4318/v1/metrics"),
        (None, &[GENERAL], "http://all:4318/"),
    ] {
        let (found, warnings) =
            sending(SendingFlags { endpoint: flag, ..Default::default() }, pairs);
        assert_eq!(url(&found.unwrap()), want, "{pairs:?}");
        assert_eq!(warnings, Vec::<String>::new());
    }
    assert!(matches!(sending(SendingFlags::default(), &[HTTP]).0, Err(OptionsError::NoEndpoint)));
    let empty = [("OTEL_EXPORTER_OTLP_ENDPOINT", "")];
    assert!(matches!(sending(SendingFlags::default(), &empty).0, Err(OptionsError::NoEndpoint)));
    let (found, _) = sending(SendingFlags::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "h:1")]);
    assert!(matches!(found, Err(OptionsError::Endpoint(_))));
}

#[test]
fn a_flag_stands_over_a_variable_and_that_of_metrics_over_that_of_all() {
    let protocol = |flag, pairs: &[(&str, &str)]| {
        let pairs = [&[GENERAL], pairs].concat();
        let flags = SendingFlags { protocol: flag, ..Default::default() };
        sending(flags, &pairs).0.unwrap().way.protocol
    };
    let (special, general) = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    let both = [(special, "http/protobuf"), (general, "grpc")];
    assert_eq!(protocol(None, &[]), Protocol::Grpc);
    assert_eq!(protocol(None, &[HTTP]), Protocol::Http);
    assert_eq!(protocol(None, &both), Protocol::Http);
    assert_eq!(protocol(Some(Protocol::Grpc), &both), Protocol::Grpc);
}

#[test]
fn an_unsupported_value_is_one_warning_and_the_default() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "geheim"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=geheim"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=geheim"),
    ] {
        let (found, warnings) = sending(SendingFlags::default(), &[GENERAL, (name, value)]);
        let way = found.unwrap().way;
        assert_eq!((way.protocol, way.compression), (Protocol::Grpc, Compression::None));
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert!(!warnings[0].contains("geheim"), "{warnings:?}");
    }
}

#[test]
fn times_come_from_flags_then_variables_then_from_what_is_built_in() {
    let check = |flags: GatheringFlags, pairs: &[(&str, &str)]| {
        let environment = Environment::of(pairs);
        let mut variables = Variables::new(&environment, Signal::Metrics);
        let found = Gathering::of(flags, &mut variables);
        (found.flush_every.as_millis(), found.timeout.as_millis(), variables.warnings().len())
    };
    let said = [
        ("OTEL_METRIC_EXPORT_INTERVAL", "2500"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1500"),
    ];
    assert_eq!(check(GatheringFlags::default(), &[]), (10_000, 30_000, 0));
    assert_eq!(check(GatheringFlags::default(), &said), (2500, 1500, 0));
    let second = Some(Duration::from_secs(1));
    let flags = GatheringFlags { flush_every: second, timeout: second, ..Default::default() };
    assert_eq!(check(flags, &said), (1000, 1000, 0));
    let wrong = [("OTEL_METRIC_EXPORT_INTERVAL", "1s"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "0")];
    assert_eq!(check(GatheringFlags::default(), &wrong), (10_000, 30_000, 2));
}

#[test]
fn any_age_of_a_sample_is_zero() {
    let age = |flag| {
        let environment = Environment::default();
        let flags = GatheringFlags { sample_age_max: flag, ..Default::default() };
        Gathering::of(flags, &mut Variables::new(&environment, Signal::Metrics)).sample_age_max
    };
    assert_eq!(age(None), Some(SAMPLE_AGE_MAX));
    assert_eq!(age(Some(Duration::ZERO)), None);
    assert_eq!(age(Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
}

#[test]
fn a_header_of_a_flag_is_as_it_stands_or_from_a_variable() {
    let flags = |value: &str| SendingFlags {
        headers: vec![("x-token".to_owned(), value.to_owned())],
        ..SendingFlags::default()
    };
    let pairs =
        [GENERAL, ("TOKEN", "a,b"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=c,x-more=d%2C")];
    let mut want = Headers::default();
    want.set("x-more", "d,").unwrap();
    want.set("x-token", "a,b").unwrap();
    for value in ["a,b", "env:TOKEN"] {
        let found = sending(flags(value), &pairs).0.unwrap().way.headers;
        assert!(found.is_same(&want), "{value}");
    }
    let error = sending(flags("env:NONE"), &pairs).0.unwrap_err();
    assert!(matches!(error, OptionsError::NoVariable { .. }), "{error}");
}

#[test]
fn what_is_said_of_the_exporter_comes_from_flags_over_variables() {
    let pairs = [
        GENERAL,
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,deployment.environment=a%20b, team=ops"),
        ("OTEL_SERVICE_NAME", "sandboxes"),
    ];
    let resource = vec![("team".to_owned(), "dev".to_owned())];
    let found = sending(SendingFlags { resource, ..Default::default() }, &pairs).0.unwrap();
    let found: Vec<_> =
        found.resource.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let want = [("deployment.environment", "a b"), ("service.name", "sandboxes"), ("team", "dev")];
    assert_eq!(found, want);
}

#[test]
fn the_whole_of_opentelemetry_can_be_switched_off() {
    for (value, want) in [("true", true), ("TRUE", true), ("false", false), ("1", false)] {
        let environment = Environment::of(&[("OTEL_SDK_DISABLED", value)]);
        assert_eq!(Variables::new(&environment, Signal::Metrics).is_disabled(), want, "{value}");
    }
}
