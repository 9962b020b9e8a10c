//! The codes of problems. They are an interface: never renamed, never reused.

use std::fmt;

/// What kind of problem it is, by its stable name: `msb::schema::unknown-key`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

macro_rules! codes {
    ($($name:ident $text:literal)*) => {
        impl Code {
            $(#[doc = concat!("The code `msb::", $text, "`.")]
            pub const $name: Self = Self(concat!("msb::", $text));)*

            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

codes! {
    FILE_NOT_FOUND "file::not-found"
    FILE_AMBIGUOUS "file::ambiguous"
    FILE_FOREIGN "file::foreign"
    FILE_UNKNOWN_FORMAT "file::unknown-format"
    FILE_UNREADABLE "file::unreadable"
    FILE_NOT_UTF8 "file::not-utf8"
    FILE_CONTROL_CHARACTER "file::control-character"
    FILE_OUTSIDE "file::outside"
    LIMIT_FILE_BYTES "limit::file-bytes"
    LIMIT_TOTAL_BYTES "limit::total-bytes"
    LIMIT_FILES "limit::files"
    LIMIT_DEPTH "limit::depth"
    LIMIT_NODES "limit::nodes"
    LIMIT_SCALAR_BYTES "limit::scalar-bytes"
    LIMIT_KEY_BYTES "limit::key-bytes"
    LIMIT_ALIAS_NODES "limit::alias-nodes"
    LIMIT_EXPANDED_BYTES "limit::expanded-bytes"
    LIMIT_INSTANCES "limit::instances"
    LIMIT_PROBLEMS "limit::problems"
    LIMIT_SECONDS "limit::seconds"
    LIMIT_EDIT "limit::edit"
    CONFIG_INVALID "config::invalid"
    SYNTAX_KDL "syntax::kdl"
    SYNTAX_KDL_V1 "syntax::kdl-v1"
    SYNTAX_YAML "syntax::yaml"
    SYNTAX_NEEDS_QUOTES "syntax::needs-quotes"
    SYNTAX_BARE_INTERPOLATION "syntax::bare-interpolation"
    SYNTAX_EQUALS_SIGN "syntax::equals-sign"
    SYNTAX_TYPE_ANNOTATION "syntax::type-annotation"
    SYNTAX_YAML_TAB "syntax::yaml-tab"
    SYNTAX_YAML_TAG "syntax::yaml-tag"
    SYNTAX_YAML_MERGE_KEY "syntax::yaml-merge-key"
    SYNTAX_YAML_DOCUMENTS "syntax::yaml-documents"
    SYNTAX_YAML_KEY "syntax::yaml-key"
    SCHEMA_UNKNOWN_KEY "schema::unknown-key"
    SCHEMA_MISSING_KEY "schema::missing-key"
    SCHEMA_SHAPE "schema::shape"
    SCHEMA_PROPERTY_OR_CHILD "schema::property-or-child"
    SCHEMA_DUPLICATE_KEY "schema::duplicate-key"
    SCHEMA_DUPLICATE_DEFINITION "schema::duplicate-definition"
    SCHEMA_CONFLICT "schema::conflict"
    SCHEMA_NOT_FOR_JOBS "schema::not-for-jobs"
    SCHEMA_NOT_YET "schema::not-yet"
    SCHEMA_NEWER_FORMAT "schema::newer-format"
    VALUE_TYPE "value::type"
    VALUE_NULL "value::null"
    VALUE_BOOLEAN "value::boolean"
    VALUE_COUNT "value::count"
    VALUE_SIZE "value::size"
    VALUE_DURATION "value::duration"
    VALUE_RATE "value::rate"
    VALUE_PORT "value::port"
    VALUE_PATH "value::path"
    VALUE_IMAGE "value::image"
    VALUE_USER "value::user"
    VALUE_HOST_PATTERN "value::host-pattern"
    VALUE_CIDR "value::cidr"
    VALUE_REGEX "value::regex"
    VALUE_ENV_KEY "value::env-key"
    VALUE_NAME "value::name"
    VALUE_RANGE "value::range"
    VALUE_CHOICE "value::choice"
    VALUE_RESERVED_LABEL "value::reserved-label"
    VALUE_LATEST "value::latest"
    VAR_UNDECLARED "var::undeclared"
    VAR_UNSET "var::unset"
    VAR_PATTERN "var::pattern"
    VAR_SYNTAX "var::syntax"
    REF_UNKNOWN "ref::unknown"
    REF_CYCLE "ref::cycle"
    REF_INACTIVE "ref::inactive"
    REF_NOTHING_TO_REMOVE "ref::nothing-to-remove"
    RULE_PORT_CLASH "rule::port-clash"
    RULE_PORT_COUNT "rule::port-count"
    RULE_MOUNT_CLASH "rule::mount-clash"
    RULE_MOUNT_FORBIDDEN "rule::mount-forbidden"
    RULE_VOLUME_CONFLICT "rule::volume-conflict"
    RULE_DISK_SHARED "rule::disk-shared"
    RULE_MAX_BELOW_VALUE "rule::max-below-value"
    RULE_COMMAND_IS_ONE_WORD "rule::command-is-one-word"
    RULE_UNTIL_NEEDS "rule::until-needs"
    RULE_NETWORK_OFF "rule::network-off"
    RULE_NEVER_MATCHES "rule::never-matches"
    RULE_NAMES_DENIED "rule::names-denied"
    RULE_SECRET_NEEDS_TLS "rule::secret-needs-tls"
    RULE_SECRET_HOST_DENIED "rule::secret-host-denied"
    RULE_SECRET_IN_VAR "rule::secret-in-var"
    RULE_SECRET_IN_ENV "rule::secret-in-env"
    RULE_UNUSED_TEMPLATE "rule::unused-template"
    SANDBOX_ZERO_CPUS "sandbox::zero-cpus"
    SANDBOX_ZERO_MEMORY "sandbox::zero-memory"
}

impl Code {
    /// Returns the name, as it is printed and explained.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns the code of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.0 == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_used_twice() {
        let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::parse("msb::ref::cycle"), Some(Code::REF_CYCLE));
    }
}
