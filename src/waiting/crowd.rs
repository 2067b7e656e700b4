//! A set of small numbers, one bit each: regulators or skills by their index.

/// A set of indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    words: Vec<u64>,
}

impl Crowd {
    pub fn insert(&mut self, index: usize) {
        let word = index / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << (index % 64);
        }
    }

    pub fn remove(&mut self, index: usize) {
        if let Some(bits) = self.words.get_mut(index / 64) {
            *bits &= !(1 << (index % 64));
        }
    }

    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    pub fn meets(&self, other: &Crowd) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// How many are in both.
    pub fn count_shared(&self, other: &Crowd) -> usize {
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// How many are in all three.
    pub fn count_shared_by_three(&self, second: &Crowd, third: &Crowd) -> usize {
        let words = self.words.iter().zip(&second.words).zip(&third.words);
        words.map(|((a, b), c)| (a & b & c).count_ones() as usize).sum()
    }

    /// Those in both, in their order.
    pub fn shared<'a>(&'a self, other: &'a Crowd) -> impl Iterator<Item = usize> + 'a {
        self.words.iter().zip(&other.words).enumerate().flat_map(|(word, (a, b))| {
            let mut bits = a & b;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                if bits == 0 {
                    return None;
                }
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

impl FromIterator<usize> for Crowd {
    fn from_iter<T: IntoIterator<Item = usize>>(indices: T) -> Crowd {
        let mut crowd = Crowd::default();
        indices.into_iter().for_each(|index| crowd.insert(index));
        crowd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_a_set() {
        let mut crowd: Crowd = [3, 64, 200].into_iter().collect();
        let other: Crowd = [0, 64, 200, 700].into_iter().collect();
        assert!(crowd.contains(64) && !crowd.contains(65) && !crowd.contains(10_000));
        assert_eq!((crowd.len(), crowd.count_shared(&other)), (3, 2));
        assert_eq!(crowd.shared(&other).collect::<Vec<_>>(), [64, 200]);
        crowd.remove(64);
        crowd.remove(200);
        crowd.remove(9_999);
        assert!(!crowd.meets(&other) && crowd.len() == 1);
    }
}
