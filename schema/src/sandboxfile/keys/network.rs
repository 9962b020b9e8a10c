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
    key("guest", Shape::Scalar(Type::PortRange), "The port in the guest.").class("live").required(),
    key(
        "host",
        Shape::Scalar(Type::HostPort),
        "The port on the host; a range has a slice for each instance.",
    )
    .default("auto")
    .class("live"),
    key("bind", Shape::Scalar(Type::Address), "The address on the host.")
        .default("127.0.0.1")
        .class("live"),
    key("protocol", Shape::Scalar(Type::Choice(&["tcp", "udp"])), "The protocol.")
        .default("tcp")
        .class("live"),
];

const CONNECT_KEYS: &[Key] = &[
    key("ports", Shape::Scalar(Type::PortSet), "The ports that may be reached, by TCP and UDP.")
        .default("required")
        .class("live"),
    key("as", Shape::Scalar(Type::Name), "What it is called here.")
        .default("its name")
        .class("live"),
];

const NETWORK_KEYS: &[Key] = &[
    key("preset", Shape::Scalar(Type::Choice(PRESETS)), "What holds where no rule does.")
        .default("public")
        .class("live; from or to off restart"),
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
    key("tls", Shape::Block { principal: None, keys: TLS }, "What is done with TLS."),
];

const PRESETS: &[&str] = &["off", "none", "public", "private", "open"];

const RULE: &[Key] = &[
    key("direction", Shape::Scalar(Type::Choice(&["egress", "ingress"])), "Which way.")
        .default("egress")
        .class("live"),
    key("protocol", Shape::Scalar(Type::Choice(&["any", "tcp", "udp", "icmp"])), "The protocol.")
        .default("any")
        .class("live"),
    key("ports", Shape::Scalar(Type::PortSet), "The ports.").default("any").class("live"),
];

const DNS: &[Key] = &[
    key("servers", Shape::List(Type::Server), "The servers that are asked.")
        .default("the host's")
        .class("live"),
    key(
        "rebind-protection",
        Shape::Scalar(Type::Bool),
        "Whether answers with other than public addresses are dropped.",
    )
    .default("true")
    .class("live"),
    key("timeout", Shape::Scalar(Type::Duration(1)), "How long an answer may take.")
        .default("5s")
        .class("live"),
];

const LIMITS: &[Key] = &[
    key("egress", Shape::Scalar(Type::Rate), "Bytes a second out of the guest.")
        .default("none")
        .class("live"),
    key("ingress", Shape::Scalar(Type::Rate), "Bytes a second into the guest.")
        .default("none")
        .class("live"),
    key("max-connections", Shape::Scalar(Type::Count(1, 65_535)), "Connections at a time.")
        .default("1024")
        .class("live"),
];

const TLS: &[Key] = &[
    key("intercept", Shape::Scalar(Type::Bool), "Whether TLS is opened and judged.")
        .default("true when a secret is used")
        .class("restart"),
    key("ports", Shape::List(Type::Port), "The ports where TLS is expected.")
        .default("443")
        .class("live"),
    key("bypass", Shape::List(Type::HostPattern), "Hosts that are left alone.").class("live"),
    key("upstream-ca", Shape::List(Type::HostPath), "Further authorities to trust upstream.")
        .class("live"),
    key("ca-cert", Shape::Scalar(Type::HostPath), "The authority that the guest trusts.")
        .default("the installation's")
        .class("restart"),
    key("ca-key", Shape::Scalar(Type::HostPath), "The key of that authority.").class("restart"),
    key("trust-host-cas", Shape::Scalar(Type::Bool), "Whether the guest trusts the host's.")
        .default("false")
        .class("restart"),
    key("block-quic", Shape::Scalar(Type::Bool), "Whether QUIC is denied.")
        .default("true")
        .class("live"),
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
