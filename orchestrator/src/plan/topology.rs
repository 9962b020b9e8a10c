//! An order of nodes that respects every edge, and whether there is one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Returns the nodes `0..count`, each after those that lead to it, of several the smallest first.
///
/// Edges lead from the first to the second. Nodes in a circle, and those behind one, are not among
/// what is returned: an order that is shorter than `count` says that there is a circle.
#[must_use]
pub fn in_order(count: usize, edges: impl Iterator<Item = (usize, usize)> + Clone) -> Vec<usize> {
    let mut waiting = vec![0_u32; count];
    // Of each node, where those behind it begin in `behind`; the last is the end of all.
    let mut begins = vec![0_usize; count + 1];
    for (from, to) in edges.clone() {
        waiting[to] += 1;
        begins[from + 1] += 1;
    }
    for node in 0..count {
        begins[node + 1] += begins[node];
    }
    let mut behind = vec![0_usize; begins[count]];
    let mut next = begins.clone();
    for (from, to) in edges {
        behind[next[from]] = to;
        next[from] += 1;
    }
    let mut free: BinaryHeap<Reverse<usize>> =
        (0..count).filter(|node| waiting[*node] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(node)) = free.pop() {
        order.push(node);
        for to in &behind[begins[node]..begins[node + 1]] {
            waiting[*to] -= 1;
            if waiting[*to] == 0 {
                free.push(Reverse(*to));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
        in_order(count, edges.iter().copied())
    }

    #[test]
    fn what_waits_for_nothing_keeps_its_order() {
        assert_eq!(ordered(3, &[]), [0, 1, 2]);
        assert_eq!(ordered(0, &[]), [0_usize; 0]);
    }

    #[test]
    fn each_comes_after_those_that_lead_to_it_and_the_smallest_first() {
        assert_eq!(ordered(4, &[(3, 0), (2, 0)]), [1, 2, 3, 0]);
        assert_eq!(ordered(4, &[(3, 1), (1, 0), (3, 0)]), [2, 3, 1, 0]);
    }

    #[test]
    fn an_edge_may_stand_twice() {
        assert_eq!(ordered(2, &[(1, 0), (1, 0)]), [1, 0]);
    }

    #[test]
    fn a_circle_and_what_is_behind_it_are_left_out() {
        assert_eq!(ordered(4, &[(1, 2), (2, 1), (2, 3)]), [0]);
        assert_eq!(ordered(1, &[(0, 0)]), [0_usize; 0]);
    }
}
