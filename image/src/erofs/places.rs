//! Where the contents of files came to lie in an image.

use super::super::recipe::Place;
use super::super::tree::{Content, Tree};
use super::BLOCK;
use super::attributes;
use super::inode::INODE_BYTES;
use super::plan::Plan;

/// Returns the places of what lay in one spool, by where it lay there.
pub fn places(tree: &Tree, plan: &Plan, spool: u16) -> Vec<Place> {
    let mut places = Vec::new();
    let metadata = u64::from(plan.meta_block) * BLOCK;
    for planned in &plan.inodes {
        let inode = tree.inode(planned.id);
        let Content::File(data) = &inode.content else { continue };
        if data.spool() != spool {
            continue;
        }
        let in_blocks = planned.bytes_in_blocks();
        let blocks = u64::from(planned.place) * BLOCK;
        let head = INODE_BYTES + attributes::encode(inode.attributes.xattrs()).len() as u64;
        for extent in data.extents() {
            let end = extent.offset + extent.bytes;
            let cut = in_blocks.clamp(extent.offset, end);
            let mut push = |from: u64, until: u64, at: u64| {
                if from < until {
                    let spooled = extent.at + (from - extent.offset);
                    places.push(Place { from: spooled, bytes: until - from, at });
                }
            };
            push(extent.offset, cut, blocks + extent.offset);
            push(cut, end, metadata + planned.at() + head + cut.saturating_sub(in_blocks));
        }
    }
    places.sort_unstable();
    places
}
