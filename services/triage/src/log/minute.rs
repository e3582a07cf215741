//! The log's dates, `d/m/yyyy HH:MM` without a zone, as minutes on one line: enough to sort
//! by, and no claim about where the clock hung.

use std::fmt;

/// Minutes from 1970-01-01 00:00 in the log's own, unnamed zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(i64);

impl Minute {
    /// Parses `29/2/2016 01:16`; days and months may have one digit.
    pub fn from_log(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(' ')?;
        let mut parts = date.split('/');
        let day = number(parts.next()?, 1..=2)?;
        let month = number(parts.next()?, 1..=2)?;
        let year = number(parts.next()?, 4..=4)?;
        let (hour, minute) = time.split_once(':')?;
        let (hour, minute) = (number(hour, 2..=2)?, number(minute, 2..=2)?);
        let valid = parts.next().is_none()
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60;
        valid.then(|| Self((days_from_civil(year, month, day) * 24 + hour) * 60 + minute))
    }

    /// The number of minutes.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(1440));
        let of_day = self.0.rem_euclid(1440);
        write!(f, "{year:04}-{month:02}-{day:02} {:02}:{:02}", of_day / 60, of_day % 60)
    }
}

fn number(digits: &str, width: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let plain = width.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; the year is counted from March so that the
/// leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let rows = [
            ("1/1/1970 00:00", 0, "1970-01-01 00:00"),
            ("29/2/2016 01:16", 24_278_476, "2016-02-29 01:16"),
            ("16/02/2017 23:59", 24_788_159, "2017-02-16 23:59"),
            ("31/12/1969 23:59", -1, "1969-12-31 23:59"),
        ];
        for (text, minutes, shown) in rows {
            let parsed = Minute::from_log(text).expect(text);
            assert_eq!((parsed.as_i64(), parsed.to_string().as_str()), (minutes, shown));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for days in days_from_civil(1900, 1, 1)..days_from_civil(2300, 1, 1) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!(day <= days_in(year, month));
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for bad in [
            "",
            "?",
            "29/2/2015 01:16",
            "31/4/2016 00:00",
            "0/1/2016 00:00",
            "1/13/2016 00:00",
            "1/1/16 00:00",
            "1/1/2016 24:00",
            "1/1/2016 00:60",
            "1/1/2016 0:00",
            "1/1/2016",
            "1/1/2016/1 00:00",
            "+1/1/2016 00:00",
            "2016-02-29 01:16",
        ] {
            assert_eq!(Minute::from_log(bad), None, "{bad}");
        }
    }
}
