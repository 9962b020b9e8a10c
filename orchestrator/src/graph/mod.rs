//! What hangs together, as a drawing: a project's parts, or the steps of a plan.
//!
//! ```text
//! Project ─ of_project ─┐            ┌─ dot: for other programs
//!                       ├─▶ Graph ───┤
//! Plan ──── of_plan ────┘            └─ layout ─▶ svg: for people, without any other program
//! ```

mod dot;
mod layout;
mod make;
mod svg;

pub use dot::dot;
pub use make::{of_plan, of_project};
pub use svg::svg;

/// Things, and what joins them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What it is a drawing of.
    pub title: String,
    /// The things, in the order of their ids.
    pub nodes: Vec<Node>,
    /// What joins them, by their places in `nodes`.
    pub edges: Vec<Edge>,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is called: an address, or the number of a step.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// What stands in it, line by line.
    pub lines: Vec<String>,
    /// What its change costs, in a plan.
    pub class: Option<&'static str>,
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A sandbox.
    Sandbox,
    /// A job.
    Job,
    /// A volume.
    Volume,
    /// An image.
    Image,
    /// A step of a plan.
    Step,
}

impl NodeKind {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Job => "job",
            Self::Volume => "volume",
            Self::Image => "image",
            Self::Step => "step",
        }
    }
}

/// What joins two things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Where it begins.
    pub from: usize,
    /// Where it points to.
    pub to: usize,
    /// What it means.
    pub kind: EdgeKind,
    /// More about it; empty where there is nothing to say.
    pub label: String,
}

/// What an edge means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// The first needs the second.
    DependsOn,
    /// The first may reach the second.
    Connects,
    /// The first mounts the second.
    Mounts,
    /// The first is made from the second.
    Image,
    /// The first comes before the second.
    Before,
}

impl EdgeKind {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DependsOn => "depends-on",
            Self::Connects => "connect",
            Self::Mounts => "mount",
            Self::Image => "image",
            Self::Before => "before",
        }
    }

    /// Tells whether it is drawn as a broken line: it orders nothing.
    #[must_use]
    const fn is_loose(self) -> bool {
        match self {
            Self::DependsOn | Self::Before => false,
            Self::Connects | Self::Mounts | Self::Image => true,
        }
    }
}

#[cfg(test)]
mod tests;
