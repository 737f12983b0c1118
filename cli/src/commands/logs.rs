//! The protocol's own logs, with the virtual time and the node of the event that wrote them.

use super::{Problem, show};
use std::fmt::Write as _;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// From here on prints what is logged at `level` or above. Without it, logging costs one
/// comparison.
pub(super) fn show(level: &str) -> Result<(), Problem> {
    let level: LevelFilter = level.parse()?;
    tracing_subscriber::registry().with(VirtualTime.with_filter(level)).try_init()?;
    Ok(())
}

/// Prints an event with the time and actor of the span around it: `1.204388s n3 INFO becomes leader
/// term=4`.
struct VirtualTime;

/// The fields of a span or event, as text.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "at" | "actor" => write!(self.rest, "{value:?} "),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for VirtualTime {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(fields.rest);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let line = || {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let place = ctx
                .event_span(event)
                .and_then(|span| span.extensions().get::<String>().cloned())
                .unwrap_or_default();
            let level = event.metadata().level();
            format!("{place}{level} {}{}", fields.message, fields.rest)
        };
        #[cfg(all(
            feature = "programs",
            target_os = "linux",
            target_arch = "x86_64",
            target_env = "gnu"
        ))]
        if seedfall::programs::log(line) {
            return; // A program of a simulated Linux: its report has the line.
        }
        show::line(&line());
    }
}
