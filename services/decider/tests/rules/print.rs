//! Laws of print and parse: what is printed is read back the same, and what can be read is exactly
//! what would be printed. Of ids, subjects, times, content keys.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use canonry_decider::world::ContentKey;
use canonry_schemas::ids::{
    ActorId, IntentId, KeyId, RoleId, RunId, TenantId, TicketId, generated,
};
use canonry_schemas::limits::CONTENT_KEY_GROUP;
use canonry_schemas::subject::{Inbound, ledger, parse_ledger};
use canonry_schemas::time::Time;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// The last microsecond of the year 9999.
const LAST: i64 = 253_402_300_799_999_999;

fn there_and_back<T>(value: &T) -> TestCaseResult
where
    T: Display + FromStr + PartialEq + Debug,
    T::Err: Debug,
{
    let text = value.to_string();
    prop_assert_eq!(&text.parse::<T>().unwrap(), value);
    Ok(())
}

fn read_is_printed<T: Display + FromStr>(text: &str) -> TestCaseResult {
    if let Ok(value) = text.parse::<T>() {
        prop_assert_eq!(value.to_string(), text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids(
        tenant in "[a-z0-9][a-z0-9-]{0,30}", actor in "[a-z0-9][a-z0-9_-]{0,62}",
        key in "[0-9a-f]{16}", millis in 0..(1_u64 << 48), random in any::<u128>(),
    ) {
        let random = random >> 48;
        there_and_back(&tenant.parse::<TenantId>().unwrap())?;
        there_and_back(&actor.parse::<ActorId>().unwrap())?;
        there_and_back(&key.parse::<KeyId>().unwrap())?;
        there_and_back(&generated("rol_", millis, random).parse::<RoleId>().unwrap())?;
        there_and_back(&generated("tkt_", millis, random).parse::<TicketId>().unwrap())?;
        there_and_back(&generated("run_", millis, random).parse::<RunId>().unwrap())?;
        let intent = IntentId::from_parts(millis, random);
        there_and_back(&intent)?;
        prop_assert_eq!(intent.millis(), millis);
    }

    #[test]
    fn no_other_text_is_an_id(text in "(rol_|tkt_|run_)?[0-9a-zA-Z._*> -]{0,28}") {
        read_is_printed::<TenantId>(&text)?;
        read_is_printed::<ActorId>(&text)?;
        read_is_printed::<KeyId>(&text)?;
        read_is_printed::<RoleId>(&text)?;
        read_is_printed::<TicketId>(&text)?;
        read_is_printed::<RunId>(&text)?;
        read_is_printed::<IntentId>(&text)?;
        let token = text.parse::<ActorId>().is_ok() || text.parse::<TicketId>().is_ok();
        prop_assert!(!token || !text.contains(['.', '*', '>', ' ']), "{text} in a subject");
    }

    #[test]
    fn times(a in 0..=LAST, b in 0..=LAST) {
        let (a, b) = (Time(a), Time(b));
        there_and_back(&a)?;
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()), "text order is time order");
        prop_assert_eq!(Time::lenient(&a.to_string()), Ok(a));
        let json = serde_json::to_string(&a).unwrap();
        prop_assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), a);
    }

    #[test]
    fn no_other_text_is_a_time(
        year in prop_oneof![0..10_000_u32, Just(9_999), Just(1_970), Just(0)],
        month in 0..14_u32, day in 0..33_u32, hour in 0..25_u32, second in 0..62_u32,
        fraction in "(\\.[0-9]{1,9})?", zone in "(Z|z|[+-][0-2][0-9]:[0-5][0-9])",
    ) {
        let clock = format!("{hour:02}:59:{second:02}{fraction}{zone}");
        let text = format!("{year:04}-{month:02}-{day:02}T{clock}");
        read_is_printed::<Time>(&text)?;
        if let Ok(time) = Time::lenient(&text) {
            there_and_back(&time)?;
        }
    }

    #[test]
    fn subjects(
        tenant in "[a-z0-9][a-z0-9-]{0,30}", actor in "[a-z0-9][a-z0-9_-]{0,62}",
        aggregate in "[a-z]{1,12}", event in "[a-z-]{1,20}", intent in any::<bool>(),
        text in "(command|intent|ledger)[a-z.*> _-]{0,40}",
    ) {
        let way = if intent { "intent" } else { "command" };
        let subject = format!("{way}.{tenant}.{actor}.{aggregate}.{event}");
        prop_assert_eq!(Inbound::parse(&subject).unwrap().print(), subject);
        let tenant = tenant.parse::<TenantId>().unwrap();
        let subject = ledger(&tenant, &aggregate, &event);
        prop_assert_eq!(parse_ledger(&subject), Some((tenant, &*aggregate, &*event)));
        if let Some((tenant, aggregate, event)) = parse_ledger(&text) {
            prop_assert_eq!(ledger(&tenant, aggregate, event), text);
        }
    }

    #[test]
    fn content_keys(
        group in any::<u32>(), index in 0_u16..512, text in "[+0-9]{1,3}-[+0-9]{1,3}",
    ) {
        let key = ContentKey { group, index };
        let within = usize::from(index) < CONTENT_KEY_GROUP;
        prop_assert_eq!(ContentKey::parse(&key.to_string()), within.then_some(key));
        if let Some(key) = ContentKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}

/// What lies outside the years of the format is no time, whatever zone it is written in.
#[test]
fn times_end_with_the_year_9999() {
    assert_eq!(Time::lenient("9999-12-31T23:59:59.999999Z"), Ok(Time(LAST)));
    assert_eq!(Time::lenient("1970-01-01T00:00:00Z"), Ok(Time(0)));
    for outside in [
        "9999-12-31T23:59:59.999999-00:01",
        "9999-12-31T23:59:59-23:59",
        "1970-01-01T00:00:00+00:01",
        "1969-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59.9999999Z",
    ] {
        assert!(Time::lenient(outside).is_err(), "{outside}");
        assert!(outside.parse::<Time>().is_err(), "{outside}");
    }
}
