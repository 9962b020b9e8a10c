//! Four flags that make one list: rules are tried in the order in which they stand on the line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use schema::project::network::{Action, Direction};

/// The rules, in the order of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules(pub(super) Vec<RuleFlag>);

/// One rule as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleFlag {
    pub(super) action: Action,
    pub(super) direction: Direction,
    pub(super) text: String,
}

/// Each flag: its name, what it makes, its line of help.
const FLAGS: [(&str, Action, Direction, &str); 4] = [
    (
        "allow",
        Action::Allow,
        Direction::Egress,
        "What the guest may reach, before the preset: any, a group, an address, a network or a name \
         (can be repeated)",
    ),
    (
        "deny",
        Action::Deny,
        Direction::Egress,
        "What it may not reach; the first rule that matches decides (can be repeated)",
    ),
    (
        "allow-ingress",
        Action::Allow,
        Direction::Ingress,
        "Peers that may reach its ports, the ports being the guest's (can be repeated)",
    ),
    (
        "deny-ingress",
        Action::Deny,
        Direction::Ingress,
        "Peers that may not (can be repeated) [default: all may]",
    ),
];

impl RuleFlag {
    /// Returns the flag as it was typed.
    pub(super) fn spelling(&self) -> String {
        let name = FLAGS.iter().find(|(_, action, direction, _)| {
            (*action, *direction) == (self.action, self.direction)
        });
        format!("--{} {}", name.map_or("allow", |flag| flag.0), self.text)
    }
}

impl Args for Rules {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, _, _, help)| {
            let flag = Arg::new(*name).long(*name).action(ArgAction::Append);
            command.arg(flag.value_name("TARGET[:PORTS][/tcp|/udp|/icmp]").help(*help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, RuleFlag)> = Vec::new();
        for (name, action, direction, _) in FLAGS {
            let places = matches.indices_of(name).into_iter().flatten();
            let texts = matches.get_many::<String>(name).into_iter().flatten();
            found.extend(
                places.zip(texts).map(|(place, text)| {
                    (place, RuleFlag { action, direction, text: text.clone() })
                }),
            );
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Self(found.into_iter().map(|(_, flag)| flag).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
