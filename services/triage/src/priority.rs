//! Priority is a table of impact and urgency, on every row of the log: no model is asked.

use serde::{Deserialize, Serialize};

/// How far an incident reaches, or how soon it hurts: 1 is high, 3 is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum Level {
    /// 1
    High = 1,
    /// 2
    Medium = 2,
    /// 3
    Low = 3,
}

/// What comes first: 1 is critical, 4 is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum Priority {
    /// 1
    Critical = 1,
    /// 2
    High = 2,
    /// 3
    Moderate = 3,
    /// 4
    Low = 4,
}

/// A number outside the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not on the scale")]
pub struct OffScale(pub u8);

impl TryFrom<u8> for Level {
    type Error = OffScale;

    fn try_from(number: u8) -> Result<Self, OffScale> {
        match number {
            1 => Ok(Self::High),
            2 => Ok(Self::Medium),
            3 => Ok(Self::Low),
            other => Err(OffScale(other)),
        }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level as Self
    }
}

impl TryFrom<u8> for Priority {
    type Error = OffScale;

    fn try_from(number: u8) -> Result<Self, OffScale> {
        match number {
            1 => Ok(Self::Critical),
            2 => Ok(Self::High),
            3 => Ok(Self::Moderate),
            4 => Ok(Self::Low),
            other => Err(OffScale(other)),
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority as Self
    }
}

impl Level {
    /// Parses the log's form, `1 - High`, whole.
    pub fn from_log(text: &str) -> Option<Self> {
        match text {
            "1 - High" => Some(Self::High),
            "2 - Medium" => Some(Self::Medium),
            "3 - Low" => Some(Self::Low),
            _ => None,
        }
    }
}

impl Priority {
    /// The table. High impact with low urgency never occurs in the log; 3 is ServiceNow's
    /// default for it.
    pub const fn of(impact: Level, urgency: Level) -> Self {
        match (impact, urgency) {
            (Level::High, Level::High) => Self::Critical,
            (Level::High, Level::Medium) | (Level::Medium, Level::High) => Self::High,
            (Level::High, Level::Low)
            | (Level::Medium, Level::Medium)
            | (Level::Low, Level::High) => Self::Moderate,
            (Level::Medium | Level::Low, Level::Low) | (Level::Low, Level::Medium) => Self::Low,
        }
    }

    /// Parses the log's form, `3 - Moderate`, whole.
    pub fn from_log(text: &str) -> Option<Self> {
        match text {
            "1 - Critical" => Some(Self::Critical),
            "2 - High" => Some(Self::High),
            "3 - Moderate" => Some(Self::Moderate),
            "4 - Low" => Some(Self::Low),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let rows =
            [(11, 1), (12, 2), (13, 3), (21, 2), (22, 3), (23, 4), (31, 3), (32, 4), (33, 4)];
        for (pair, want) in rows {
            let level = |number| Level::try_from(number).expect("on the scale");
            let got = Priority::of(level(pair / 10), level(pair % 10));
            assert_eq!(u8::from(got), want, "impact and urgency {pair}");
        }
    }

    #[test]
    fn numbers_round_trip_and_stop_at_the_scale() {
        for number in 0..=5 {
            assert_eq!(Level::try_from(number).is_ok(), (1..=3).contains(&number));
            assert_eq!(Priority::try_from(number).is_ok(), (1..=4).contains(&number));
        }
        assert_eq!(Level::from_log("4 - None"), None);
        assert_eq!(Priority::from_log("3"), None);
    }
}
