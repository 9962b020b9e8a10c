//! What the host says of itself while a machine runs.

use std::time::Duration;

use schema::project::network::Preset;

use super::super::outlook::{
    self,
    tests::{put, way_out},
};
use super::super::{dns, peers};
use super::guest::Guest;
use super::siblings::Place;
use super::{gateway, policy, question, server};
use crate::clock::{Clock as _, HostClock};
use crate::folder::tests::Scratch;

#[test]
fn rt_9_2_a_way_out_by_ipv6_that_appears_lets_its_answers_pass() {
    let (at, asked) = server([203, 0, 114, 7]);
    let mut names = dns::Settings::of_host_name("box");
    names.servers = vec![at];
    let scratch = Scratch::new("way-out");
    let (resolv, routes) = (scratch.path.join("none"), scratch.path.join("ipv6_route"));
    put(&routes, "");
    let every = Duration::from_millis(20);
    let outlook = outlook::Settings { resolv, routes: routes.clone(), every };
    let place = Place::new();
    let alone = place.machine("box", peers::tests::reach(&[], &[]));
    let rules = policy(Preset::None, &["api.example"]);
    let mut guest = Guest::within((rules, vec![]), (names, outlook), alone, &place);
    let socket = guest.datagrams(5000);
    let mut by_ipv6 = question(1, "api.example");
    let kind = by_ipv6.len() - 3;
    by_ipv6[kind] = 28;
    guest.send_to(socket, gateway(53), &by_ipv6);
    guest.until("an answer came", |guest| guest.receive_from(socket).is_some());
    assert_eq!(asked.try_iter().count(), 0, "there is no way there");
    put(&routes, &way_out());
    let (mut count, mut next) = (0, HostClock.now());
    guest.until("a server is asked", |guest| {
        // Not so often that the resolver has enough of it.
        if next <= HostClock.now() {
            guest.send_to(socket, gateway(53), &by_ipv6);
            next = HostClock.now() + Duration::from_millis(50);
        }
        guest.receive_from(socket);
        count += asked.try_iter().count();
        count > 0
    });
}
