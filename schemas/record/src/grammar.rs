//! The grammar of attributes, without allocation. Where an identifier has a type in
//! [`canonry_schemas::ids`], a property test holds both to the same language.

/// Longest id and correlation id.
pub const ID_CHARS: usize = 64;

/// An unsigned number in its only decimal form.
pub fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

pub fn visible(text: &str) -> bool {
    (1..=ID_CHARS).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic())
}

pub fn token(text: &str) -> bool {
    let text = text.as_bytes();
    (1..=63).contains(&text.len())
        && matches!(text[0], b'0'..=b'9' | b'a'..=b'z')
        && text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'_'))
}

pub fn word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
}

/// A ULID in upper case.
pub fn ulid(text: &str) -> bool {
    text.len() == 26
        && text.as_bytes()[0] <= b'7'
        && text.bytes().all(|c| match c {
            b'I' | b'L' | b'O' | b'U' => false,
            _ => c.is_ascii_digit() || c.is_ascii_uppercase(),
        })
}

/// `<aggregate>/<id>`.
pub fn entity(text: &str) -> bool {
    text.split_once('/').is_some_and(|(aggregate, id)| word(aggregate) && token(id))
}

pub fn touches(text: &str) -> bool {
    let mut before = "";
    text.split(' ').all(|one| entity(one) && std::mem::replace(&mut before, one) < one)
}

pub fn traceparent(text: &str) -> bool {
    text.len() == 55
        && text.bytes().enumerate().all(|(n, c)| match n {
            2 | 35 | 52 => c == b'-',
            _ => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The tenant, aggregate and event of a ledger subject.
pub fn split_subject(subject: &str) -> Option<(&str, &str, &str)> {
    let mut tokens = subject.strip_prefix("ledger.")?.split('.');
    let (tenant, aggregate, event) = (tokens.next()?, tokens.next()?, tokens.next()?);
    let plain = word(aggregate) && word(event) && tokens.next().is_none();
    (plain && token(tenant) && tenant.len() <= 31 && !tenant.contains('_'))
        .then_some((tenant, aggregate, event))
}

/// The version of a type `canonry.<aggregate>.<event>.v<n>`, which must be of this subject.
pub fn version_of(kind: &str, aggregate: &str, event: &str) -> Option<u32> {
    let rest = kind.strip_prefix("canonry.")?.strip_prefix(aggregate)?.strip_prefix('.')?;
    let version = decimal(rest.strip_prefix(event)?.strip_prefix(".v")?)?;
    u32::try_from(version).ok().filter(|v| *v > 0)
}

#[cfg(test)]
mod tests {
    use canonry_schemas::ids::{ActorId, IntentId, TenantId};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_same_language_as_the_types(
            text in "[a-z0-9_.é-]{0,34}|[a-z0-9_-]{60,66}", ulid_like in "[0-9A-Zi]{25,27}",
        ) {
            prop_assert_eq!(token(&text), text.parse::<ActorId>().is_ok());
            prop_assert_eq!(ulid(&ulid_like), ulid_like.parse::<IntentId>().is_ok());
            let subject = format!("ledger.{text}.ticket.opened");
            let read = split_subject(&subject);
            prop_assert_eq!(read.is_some(), text.parse::<TenantId>().is_ok());
        }
    }
}
