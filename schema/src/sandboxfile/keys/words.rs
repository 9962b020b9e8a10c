//! How a key is written, in words: for the reference and for `explain`.

use super::{Key, Presence, Shape, Type};

impl Key {
    /// Returns what the key takes: `size`, `list of text`, `‹count› count 1 to 64, properties`.
    #[must_use]
    pub fn takes(&self) -> String {
        let null = if self.presence == Presence::Nullable { ", or null" } else { "" };
        match self.shape {
            Shape::Scalar(ty) => format!("{}{null}", words(ty)),
            Shape::List(ty) => format!("list of {}{null}", words(ty)),
            Shape::Line { principal, attributes: [] } => words(principal.ty),
            Shape::Line { principal, .. } => {
                format!("‹{}› {}, properties", principal.name, words(principal.ty))
            }
            Shape::Block { principal: Some(principal), .. } => {
                format!("‹{}› {}, block", principal.name, words(principal.ty))
            }
            Shape::Block { principal: None, .. } => "block".to_owned(),
            Shape::Map { key, .. } => format!("map by {}", words(key)),
            Shape::Keyed { identity, .. } => format!("one entry for each {}", words(identity)),
            Shape::Rows(_) => "rows of properties".to_owned(),
            Shape::Tagged { tags, .. } => format!("rows of {}", tags.join(" or ")),
        }
    }

    /// Returns the keys that stand within it.
    #[must_use]
    pub const fn inner(&self) -> &'static [Self] {
        match self.shape {
            Shape::Line { attributes: keys, .. }
            | Shape::Block { keys, .. }
            | Shape::Keyed { keys, .. }
            | Shape::Rows(keys)
            | Shape::Tagged { attributes: keys, .. } => keys,
            Shape::Map { value: Shape::Line { attributes, .. }, .. } => attributes,
            Shape::Scalar(_) | Shape::List(_) | Shape::Map { .. } => &[],
        }
    }
}

fn words(ty: Type) -> String {
    match ty {
        Type::Count(least, u64::MAX) => format!("count from {least}"),
        Type::Count(least, most) => format!("count {least} to {most}"),
        Type::Choice(choices) => choices.join(" / "),
        Type::Text(_) => "text".to_owned(),
        Type::Bool => "true / false".to_owned(),
        Type::Size(..) => "size".to_owned(),
        Type::SizeOrNone => "size or none".to_owned(),
        Type::Duration(_) => "duration".to_owned(),
        Type::Limit => "count or unlimited".to_owned(),
        other => {
            // `GuestPath` reads as "guest path".
            let mut text = String::new();
            for letter in format!("{other:?}").chars() {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push(' ');
                }
                text.push(letter.to_ascii_lowercase());
            }
            text
        }
    }
}
