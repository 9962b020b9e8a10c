//! Values as they are written: with no more than they need, and read back as they are.

use std::path::Path;

use super::Paths;
use crate::project::network::{PortRange, PortSet};
use crate::project::{ImageRef, Limit, Quota, Thousandths};
use crate::sandboxfile::interpolate::escaped;
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};
use crate::units::{Bytes, Millis, Rate};

/// Returns a text, safe from being filled in.
pub(super) fn text(value: &str) -> Scalar<'static> {
    Scalar::text(escaped(value).into_owned())
}

/// Returns a number.
pub(super) fn number(value: u64) -> Scalar<'static> {
    Scalar::number(value)
}

/// Returns a number with its decimals.
pub(super) fn decimal(value: Thousandths) -> Scalar<'static> {
    Scalar::new(value.to_string().into(), ScalarKind::Number, Span::NOWHERE)
}

/// Returns yes or no.
pub(super) const fn boolean(value: bool) -> Scalar<'static> {
    Scalar::boolean(value)
}

/// Returns a size.
pub(super) fn size(value: Bytes) -> Scalar<'static> {
    Scalar::text(value.to_string().replace(' ', ""))
}

/// Returns a size, or the word for none.
pub(super) fn quota(value: Quota) -> Scalar<'static> {
    Scalar::text(value.to_string().replace(' ', ""))
}

/// Returns bytes a second.
pub(super) fn rate(value: Rate) -> Scalar<'static> {
    Scalar::text(value.to_string().replace(' ', ""))
}

/// Returns a duration.
pub(super) fn duration(value: Millis) -> Scalar<'static> {
    Scalar::text(value.to_string())
}

/// Returns a limit of a resource.
pub(super) fn limit(value: Limit) -> Scalar<'static> {
    match value {
        Limit::Count(count) => number(count),
        Limit::Unlimited => Scalar::text("unlimited"),
    }
}

/// Returns a port or a range.
pub(super) fn ports(value: PortRange) -> Scalar<'static> {
    match value.count() {
        1 => number(u64::from(value.first())),
        _ => Scalar::text(value.to_string()),
    }
}

/// Returns a port, a range or a set of both.
pub(super) fn port_set(value: &PortSet) -> Scalar<'static> {
    match value.ranges() {
        [one] if one.count() == 1 => ports(*one),
        _ => Scalar::text(value.to_string()),
    }
}

/// Returns a reference to an image, as short as it is still the same.
pub(super) fn image(value: &ImageRef) -> Scalar<'static> {
    let short = value.short();
    let is_same = ImageRef::parse(&short).is_ok_and(|parsed| parsed == *value);
    text(&if is_same { short } else { value.to_string() })
}

/// Returns a path of the host; `None` where it is no text.
pub(super) fn path(path: &Path, paths: Paths<'_>) -> Option<Scalar<'static>> {
    let path = path.to_str()?;
    Some(text(&told(path, paths)))
}

/// Returns a path by a folder that it lies below.
pub(super) fn told(path: &str, paths: Paths<'_>) -> String {
    let Paths::Below(folder) = paths else { return path.to_owned() };
    match Path::new(path).strip_prefix(folder).ok().and_then(Path::to_str) {
        Some("") => ".".to_owned(),
        Some(rest) => format!("./{rest}"),
        None => path.to_owned(),
    }
}
