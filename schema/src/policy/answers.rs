//! Which addresses an answer for a name may hold. A name of the internet that answers with an address
//! of the inside is a way in, and is cut.

use super::Remote;
use crate::project::network::{Action, Direction, Group, Network, Rule, Target};

/// Tells whether an answer for `name` keeps this address.
///
/// A public address stays. Any other stays where the protection is off, or where a rule allows the
/// name and a rule allows the address.
#[must_use]
pub fn keeps_answer(network: &Network, name: &str, remote: Remote) -> bool {
    let named = |rule: &Rule| match rule.target() {
        Target::Any => true,
        Target::Host(pattern) => pattern.matches(name),
        Target::Group(_) | Target::Net(_) => false,
    };
    is_free(network, remote) || (allows(network, named) && allows_address(network, remote))
}

/// Tells whether a machine can be given this address for a name at all.
pub(crate) fn may_be_answer(network: &Network, remote: Remote) -> bool {
    is_free(network, remote) || allows_address(network, remote)
}

fn is_free(network: &Network, remote: Remote) -> bool {
    !network.dns.rebind_protection || remote.group() == Some(Group::Public)
}

fn allows_address(network: &Network, remote: Remote) -> bool {
    allows(network, |rule| match rule.target() {
        Target::Any => true,
        Target::Group(group) => remote.group() == Some(*group),
        Target::Net(network) => network.contains(remote.address()),
        Target::Host(_) => false,
    })
}

fn allows(network: &Network, matches: impl Fn(&Rule) -> bool) -> bool {
    network.rules.iter().any(|rule| {
        rule.direction() == Direction::Egress && rule.action() == Action::Allow && matches(rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::network;
    use crate::project::network::Preset;

    #[test]
    fn rt_9_19_an_answer_of_the_inside_needs_a_rule_for_the_name_and_one_for_the_address() {
        let kept = |rules: &[&str], address: &str| {
            let remote = Remote::at(address.parse().unwrap());
            keeps_answer(&network(Preset::Private, rules), "a.example", remote)
        };
        assert!(kept(&[], "1.1.1.1"));
        for inside in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"] {
            assert!(!kept(&[], inside), "{inside}");
            assert!(!kept(&["allow a.example"], inside), "{inside}");
            assert!(!kept(&["allow b.example", "allow private", "allow 127.0.0.1"], inside));
        }
        assert!(!kept(&["allow private"], "10.0.0.1"));
        assert!(!kept(&["allow a.example", "deny 10.0.0.1"], "10.0.0.1"));
        assert!(kept(&["allow a.example tcp/443", "allow 10.0.0.0/8 tcp/22"], "10.0.0.1"));
        assert!(kept(&["allow any"], "10.0.0.1"));
        let mut open = network(Preset::Public, &[]);
        open.dns.rebind_protection = false;
        assert!(keeps_answer(&open, "a.example", Remote::at("10.0.0.1".parse().unwrap())));
    }
}
