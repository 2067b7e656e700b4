//! A Merkle tree whose every step can be done with `sha256sum` alone.
//!
//! A leaf is the `hash` of a seal log's line, 64 hexadecimal digits. A node is the SHA-256 of a text: the left hash, the
//! right hash and a line's end, as `printf '%s%s\n' LEFT RIGHT | sha256sum` makes it. A node without a neighbour moves up
//! as it is (the shape of RFC 6962 §2.1). No text of a node is one of a line, which begins with `{`.

use sha2::{Digest, Sha256};

use crate::recorder::render::hex;

/// The text whose SHA-256 is the node over two others.
pub fn node_text(left: &str, right: &str) -> String {
    format!("{left}{right}\n")
}

fn node(left: &str, right: &str) -> String {
    hex(&Sha256::digest(node_text(left, right)))
}

/// The level above.
fn above(level: &[String]) -> Vec<String> {
    let pair = |pair: &[String]| match pair {
        [left, right] => node(left, right),
        [alone] => alone.clone(),
        _ => String::new(),
    };
    level.chunks(2).map(pair).collect()
}

/// The root over the leaves; `None` when there is none.
pub fn root_of(leaves: &[String]) -> Option<String> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level.into_iter().next()
}

/// The way from a leaf to the root: the left and the right hash of each node on it, from below; empty when the leaf is
/// the root, `None` when there is no such leaf.
pub fn path_of(leaves: &[String], leaf: usize) -> Option<Vec<(String, String)>> {
    leaves.get(leaf)?;
    let (mut level, mut at, mut path) = (leaves.to_vec(), leaf, Vec::new());
    while level.len() > 1 {
        let left = at - at % 2;
        if let (Some(left), Some(right)) = (level.get(left), level.get(left + 1)) {
            path.push((left.clone(), right.clone()));
        }
        level = above(&level);
        at /= 2;
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<String> {
        (0..count).map(|n| hex(&Sha256::digest(n.to_le_bytes()))).collect()
    }

    #[test]
    fn every_leaf_leads_to_the_root_and_to_no_other() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let root = root_of(&leaves).expect("a root");
            for (at, leaf) in leaves.iter().enumerate() {
                let mut hash = leaf.clone();
                for (left, right) in path_of(&leaves, at).expect("a way") {
                    assert!(hash == left || hash == right, "leaf {at} of {count}");
                    hash = node(&left, &right);
                }
                assert_eq!(hash, root, "leaf {at} of {count}");
            }
        }
        assert_eq!((root_of(&[]), path_of(&leaves(3), 3)), (None, None));
    }

    #[test]
    fn a_changed_missing_added_or_moved_leaf_is_another_root() {
        let sound = leaves(7);
        let root = root_of(&sound);
        for at in 0..7 {
            let mut changed = sound.clone();
            changed[at] = hex(&Sha256::digest(b"x"));
            assert_ne!(root_of(&changed), root);
            changed.remove(at);
            assert_ne!(root_of(&changed), root);
            let mut moved = sound.clone();
            moved.swap(at, (at + 1) % 7);
            assert_ne!(root_of(&moved), root);
        }
    }
}
