//! A count of right answers, as integers; a rate is derived only to be shown.

/// How many of how many were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Right answers.
    pub right: u32,
    /// Answers.
    pub of: u32,
}

impl Score {
    /// Counts one answer.
    pub fn count(&mut self, right: bool) {
        self.right += u32::from(right);
        self.of += 1;
    }

    /// The rate in per mille, rounded down; zero for no answers.
    pub fn per_mille(self) -> u16 {
        let rate = u64::from(self.right) * 1000 / u64::from(self.of.max(1));
        u16::try_from(rate).unwrap_or(1000)
    }

    /// Whether the rate is at least `right` of `of`, compared without rounding.
    pub fn at_least(self, right: u32, of: u32) -> bool {
        u64::from(self.right) * u64::from(of) >= u64::from(right) * u64::from(self.of)
    }
}

impl FromIterator<bool> for Score {
    fn from_iter<I: IntoIterator<Item = bool>>(answers: I) -> Self {
        let mut score = Self::default();
        answers.into_iter().for_each(|right| score.count(right));
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_down_and_survives_nothing() {
        assert_eq!(Score::default().per_mille(), 0);
        assert_eq!(Score { right: 2, of: 3 }.per_mille(), 666);
        assert!(Score { right: 56, of: 100 }.at_least(560, 1000));
        assert!(!Score { right: 5599, of: 10_000 }.at_least(56, 100));
    }
}
