//! The subscriber: text on stderr, filtered by `$CANONRY_LOG`, and spans over OTLP (HTTP,
//! protobuf) where the environment names an endpoint, as the OpenTelemetry specification says.
//!
//! Spans are exported by a thread of their own: [`init`] needs no runtime, and commands never wait
//! for the collector. A queue that is full drops spans. Only this project's spans leave; those of
//! the exporter's own HTTP client would feed themselves.

use std::env;
use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::context::set_exports;

/// What is logged, as in `info` or `canonry_decider=debug`.
const LOG: &str = "CANONRY_LOG";
/// What is logged when nothing is asked for.
const LOG_DEFAULT: &str = "warn";
/// Either of these turns the export on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// `true` turns it off again.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// Replaces the name given to [`init`].
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Sends what waits when it is dropped; keep it until the end of `main`.
#[must_use = "spans that wait are lost unless the guard lives until the end"]
#[derive(Debug)]
pub struct Guard(Option<SdkTracerProvider>);

impl Guard {
    /// Whether spans are exported.
    #[must_use]
    pub const fn exports(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "spans were lost at the end");
        }
    }
}

/// Begins logging and, where an endpoint is named, the export of spans as `service`.
///
/// Never fails: what is wrong with the environment is logged and the rest goes on. If the process
/// logs already, that stays as it is and nothing is exported.
pub fn init(service: &'static str) -> Guard {
    let (filter, misread) = filter(var(LOG).as_deref());
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter.and(filter_fn(discreet)));
    let (provider, failed) = match wanted(var).then(|| provider(service)) {
        None => (None, None),
        Some(Ok(provider)) => (Some(provider), None),
        Some(Err(error)) => (None, Some(error)),
    };
    let spans = provider.as_ref().map(|provider| {
        let ours = Targets::new().with_target("canonry", LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("canonry")).with_filter(ours)
    });
    if let Err(error) = tracing_subscriber::registry().with(logs).with(spans).try_init() {
        tracing::debug!(%error, "logging has begun before");
        return Guard(None);
    }
    if let Some(error) = misread {
        tracing::warn!(%error, "{LOG} is not a filter, {LOG_DEFAULT} is used");
    }
    if let Some(error) = failed {
        tracing::warn!(%error, "spans are not exported");
    }
    set_exports(provider.is_some());
    Guard(provider)
}

/// Whether something may be logged, whatever was asked for: the details of libraries hold what
/// people wrote. The NATS client prints every message and its headers at `trace`.
#[must_use]
pub fn discreet(of: &Metadata<'_>) -> bool {
    of.target().starts_with("canonry") || *of.level() <= Level::INFO
}

/// A variable that is set to something.
fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The filter, and what is wrong with the one asked for.
fn filter(asked: Option<&str>) -> (EnvFilter, Option<String>) {
    match EnvFilter::try_new(asked.unwrap_or(LOG_DEFAULT)) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(LOG_DEFAULT), Some(error.to_string())),
    }
}

/// Whether the environment asks for spans.
fn wanted(var: impl Fn(&str) -> Option<String>) -> bool {
    let disabled = var(DISABLED).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    !disabled && ENDPOINTS.iter().any(|name| var(name).is_some())
}

fn provider(service: &'static str) -> Result<SdkTracerProvider, ExporterBuildError> {
    // Whoever was first has chosen; the exporter's client takes the one that stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder();
    let resource = match var(SERVICE_NAME) {
        Some(_) => resource,
        None => resource.with_service_name(service),
    };
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_wanted_where_an_endpoint_is_named_and_the_sdk_is_not_off() {
        let set = |pairs: &'static [(&str, &str)]| {
            wanted(move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert!(!set(&[]));
        assert!(set(&[(ENDPOINTS[0], "http://c:4318")]));
        assert!(set(&[(ENDPOINTS[1], "http://c:4318/v1/traces"), (DISABLED, "false")]));
        assert!(!set(&[(ENDPOINTS[0], "http://c:4318"), (DISABLED, "TRUE")]));
    }

    #[test]
    fn a_filter_that_cannot_be_read_gives_way_to_the_default() {
        assert_eq!(filter(None).0.to_string(), "warn");
        assert_eq!(filter(Some("canonry_decider=debug")).0.to_string(), "canonry_decider=debug");
        let (instead, why) = filter(Some("a=b=c"));
        assert_eq!((instead.to_string().as_str(), why.is_some()), ("warn", true));
    }
}
