//! The keys of the network.

use super::{Body, Key, Shape, TEXT, Type, key, principal};

/// A published port.
pub(super) const PORT: Shape = Shape::Rows(PORT_KEYS);
/// A sibling that may be reached.
pub(super) const CONNECT: Shape =
    Shape::Keyed { identity: Type::Name, body: Body::Line, keys: CONNECT_KEYS };
/// What may be reached, and how.
pub(super) const NETWORK: Shape = Shape::Block { principal: None, keys: NETWORK_KEYS };

const PORT_KEYS: &[Key] = &[
    key("guest", Shape::Scalar(Type::PortSet), "The port in the guest.").required(),
    key("host", Shape::Scalar(Type::HostPort), "The port on the host.").default("auto"),
    key("bind", Shape::Scalar(Type::Address), "The address on the host.").default("127.0.0.1"),
    key("protocol", Shape::Scalar(Type::Choice(&["tcp", "udp"])), "The protocol.").default("tcp"),
];

const CONNECT_KEYS: &[Key] = &[
    key("ports", Shape::Scalar(Type::PortSet), "The ports that may be reached.").required(),
    key("as", Shape::Scalar(Type::Name), "What it is called here.").default("its name"),
];

const NETWORK_KEYS: &[Key] = &[
    key(
        "preset",
        Shape::Scalar(Type::Choice(&["off", "none", "public", "private", "open"])),
        "What holds where no rule does.",
    )
    .default("public")
    .class("live"),
    key(
        "rules",
        Shape::Tagged { tags: &["allow", "deny"], target: Type::Target, attributes: RULE },
        "What is allowed and denied; the first match wins.",
    )
    .class("live"),
    key("dns", Shape::Block { principal: None, keys: DNS }, "How names are looked up.")
        .class("live"),
    key("limits", Shape::Block { principal: None, keys: LIMITS }, "How much may pass.")
        .class("live"),
    key("tls", Shape::Block { principal: None, keys: TLS }, "What is done with TLS.").class("live"),
];

const RULE: &[Key] = &[
    key("direction", Shape::Scalar(Type::Choice(&["egress", "ingress"])), "Which way.")
        .default("egress"),
    key("protocol", Shape::Scalar(Type::Choice(&["any", "tcp", "udp", "icmp"])), "The protocol.")
        .default("any"),
    key("ports", Shape::Scalar(Type::PortSet), "The ports.").default("any"),
];

const DNS: &[Key] = &[
    key("servers", Shape::List(Type::Address), "The servers that are asked.").default("the host's"),
    key(
        "rebind-protection",
        Shape::Scalar(Type::Bool),
        "Whether answers with private addresses are dropped.",
    )
    .default("true"),
    key("timeout", Shape::Scalar(Type::Duration(1)), "How long an answer may take.").default("5s"),
];

const LIMITS: &[Key] = &[
    key("egress", Shape::Scalar(Type::Rate), "Bytes a second out of the guest.").default("none"),
    key("ingress", Shape::Scalar(Type::Rate), "Bytes a second into the guest.").default("none"),
    key("max-connections", Shape::Scalar(Type::Count(1, 65_535)), "Connections at a time.")
        .default("1024"),
];

const TLS: &[Key] = &[
    key("intercept", Shape::Scalar(Type::Bool), "Whether TLS is opened and judged.")
        .default("true when a secret is used"),
    key("ports", Shape::List(Type::PortSet), "The ports where TLS is expected.").default("443"),
    key("bypass", Shape::List(Type::HostPattern), "Hosts that are left alone."),
    key("upstream-ca", Shape::List(Type::HostPath), "Further authorities to trust upstream."),
    key("ca-cert", Shape::Scalar(Type::HostPath), "The authority that the guest trusts.")
        .default("the installation's"),
    key("ca-key", Shape::Scalar(Type::HostPath), "The key of that authority."),
    key("trust-host-cas", Shape::Scalar(Type::Bool), "Whether the guest trusts the host's.")
        .default("false"),
    key("block-quic", Shape::Scalar(Type::Bool), "Whether QUIC is denied.").default("true"),
];

/// A probe over HTTP.
pub(super) const HTTP: Shape =
    Shape::Line { principal: principal("path", TEXT), attributes: HTTP_KEYS };

const HTTP_KEYS: &[Key] = &[
    key("port", Shape::Scalar(Type::Count(1, 65_535)), "The port in the guest.").required(),
    key("scheme", Shape::Scalar(Type::Choice(&["http", "https"])), "With TLS or without.")
        .default("http"),
    key("host", Shape::Scalar(TEXT), "The host header."),
    key("status", Shape::Scalar(TEXT), "The answers that pass.").default("200-399"),
];
