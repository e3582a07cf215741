//! The ledger's time as text, without allocation: equal to the `Display` and `FromStr` of
//! [`canonry_schemas::time::Time`], several times faster (a property test holds them together).

use canonry_schemas::time::Time;

const DAY: i64 = 86_400;

/// Year, month, day of a number of days since 1970 (Howard Hinnant, `civil_from_days`).
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

const fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doy = (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn digits(out: &mut [u8], mut value: i64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `2026-01-31T12:00:00.000000Z`; a time outside 1970 to 9999 is cut to that range.
pub fn print(time: Time) -> [u8; 27] {
    let last = (days(10_000, 1, 1) * DAY) * 1_000_000 - 1;
    let micros = time.0.clamp(0, last);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = civil(seconds / DAY);
    let second = seconds % DAY;
    let mut out = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut out[0..4], year);
    digits(&mut out[5..7], month);
    digits(&mut out[8..10], day);
    digits(&mut out[11..13], second / 3_600);
    digits(&mut out[14..16], second / 60 % 60);
    digits(&mut out[17..19], second % 60);
    digits(&mut out[20..26], fraction);
    out
}

/// Reads exactly what [`print`] writes.
pub fn parse(text: &str) -> Option<Time> {
    let text: &[u8; 27] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let second = number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    let time = Time((day * DAY + second) * 1_000_000 + number(20, 26)?);
    (time.0 >= 0 && print(time) == *text).then_some(time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_to_the_slow_form(micros in 0i64..253_402_300_799_999_999) {
            let text = Time(micros).to_string();
            let printed = print(Time(micros));
            prop_assert_eq!(&printed[..], text.as_bytes());
            prop_assert_eq!(parse(&text), Some(Time(micros)));
        }

        #[test]
        fn strangers_are_refused_by_both(text in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{6}Z") {
            prop_assert_eq!(parse(&text), text.parse::<Time>().ok());
        }
    }

    #[test]
    fn edges() {
        for bad in [
            "2026-02-30T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:00:60.000000Z",
            "2026-01-01 00:00:00.000000Z",
            "2026-01-01T00:00:00.000000z",
            "1969-12-31T23:59:59.999999Z",
            "2026-01-01T00:00:00.00000Z",
            "+026-01-01T00:00:00.000000Z",
            "",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
