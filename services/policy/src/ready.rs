//! An input made ready for a decision: bounded, of whole numbers only, as the engine's value and with
//! its digest. Every decision passes here before any rule, so nothing is read or written twice.

use std::collections::BTreeMap;

use canonry_schemas::limits::{JSON_DEPTH, JSON_INTEGER};
use regorus::Value;
use sha2::{Digest as _, Sha256};

use crate::input::{Amount, Count, Input};
use crate::limits;

type Json = serde_json::Value;

/// An input that may be decided on.
pub(crate) struct Ready {
    /// For the engine.
    pub(crate) value: Value,
    /// SHA-256 of its canonical JSON.
    pub(crate) digest: [u8; 32],
}

/// Makes an input ready; only its digest where it is too large, too deep or not of whole numbers.
pub(crate) fn ready(input: &Input) -> Result<Ready, [u8; 32]> {
    let args = &input.action.args;
    // Below the document, `action` and `args`.
    let strict = numbers(input).into_iter().all(whole) && args.values().all(|v| is_strict(v, 3));
    let Some(bytes) = canonical(input, strict) else { return Err([0; 32]) };
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    if !strict || bytes.len() > limits::INPUT_BYTES {
        return Err(digest);
    }
    Ok(Ready { value: document(input), digest })
}

/// Canonical JSON (RFC 8785), which a third party can make of the same input in any language. Ours is
/// canonical as it is written where it is strict and every name of an argument is ASCII: the
/// fields of an input are in order, whole numbers have one form, and texts are escaped the same.
/// Names beyond ASCII are ordered by UTF-16, which is left to the library.
fn canonical(input: &Input, strict: bool) -> Option<Vec<u8>> {
    let args = &input.action.args;
    if strict && args.iter().all(|(name, v)| name.is_ascii() && has_plain_names(v)) {
        serde_json::to_vec(input).ok()
    } else {
        serde_json_canonicalizer::to_vec(input).ok()
    }
}

fn has_plain_names(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.iter().all(has_plain_names),
        Json::Object(fields) => {
            fields.iter().all(|(name, v)| name.is_ascii() && has_plain_names(v))
        }
        _ => true,
    }
}

fn whole(number: u64) -> bool {
    number <= JSON_INTEGER.unsigned_abs()
}

/// What [`canonry_schemas::json::parse`] takes: whole numbers up to 2^53 - 1, not too deep.
fn is_strict(value: &Json, depth: usize) -> bool {
    if depth > JSON_DEPTH {
        return false;
    }
    match value {
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => whole(number),
            (None, Some(number)) => whole(number.unsigned_abs()),
            (None, None) => false,
        },
        // The strict reader looks for what stands in a list before it finds nothing.
        Json::Array(items) => depth < JSON_DEPTH && items.iter().all(|v| is_strict(v, depth + 1)),
        Json::Object(fields) => fields.values().all(|v| is_strict(v, depth + 1)),
        Json::Null | Json::Bool(_) | Json::String(_) => true,
    }
}

/// The numbers of an input's own.
fn numbers(input: &Input) -> impl IntoIterator<Item = u64> {
    let Input { actor, approvals, cost, counts, run, spent, ticket, tier, time, worst, .. } = input;
    let count =
        |c: &Count| [c.actions, c.denied, c.failed, c.held, c.routed, c.same_error, c.violations];
    let amount = |a: &Amount| [a.calls, a.money_micros, a.tokens, a.wall_seconds];
    let own = [actor.level, approvals.given, approvals.level, run.attempt, run.steps];
    let ours = [ticket.priority, *tier, *time, cost.action, cost.role, cost.run, cost.ticket];
    let most = [worst.calls, worst.money_micros, worst.tokens_in, worst.tokens_out];
    own.into_iter()
        .chain(ours)
        .chain(most)
        .chain([worst.wall_seconds])
        .chain(count(&counts.role))
        .chain(count(&counts.run))
        .chain(count(&counts.ticket))
        .chain(amount(&spent.role_today))
        .chain(amount(&spent.run))
        .chain(amount(&spent.tenant_today))
        .chain(amount(&spent.ticket))
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (Value::from(name), value));
    Value::from(fields.collect::<BTreeMap<_, _>>())
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn texts(all: &[String]) -> Value {
    Value::from(all.iter().map(|one| text(one)).collect::<Vec<_>>())
}

fn number(number: u64) -> Value {
    Value::from(number)
}

/// The document as the engine's value.
fn document(input: &Input) -> Value {
    let Input { action, actor, approvals, cost, counts, .. } = input;
    let Input { phase, role, run, spent, tenant, ticket, tier, time, worst, .. } = input;
    let action = object([
        ("action", text(&action.action)),
        ("args", fields(action.args.iter())),
        ("tool", text(&action.tool)),
    ]);
    let actor = object([
        ("id", text(&actor.id)),
        ("kind", text(&actor.kind)),
        ("level", number(actor.level)),
    ]);
    let approvals = object([
        ("by", texts(&approvals.by)),
        ("given", number(approvals.given)),
        ("level", number(approvals.level)),
    ]);
    let cost = object([
        ("action", number(cost.action)),
        ("role", number(cost.role)),
        ("run", number(cost.run)),
        ("ticket", number(cost.ticket)),
    ]);
    let counts = object([
        ("role", counted(&counts.role)),
        ("run", counted(&counts.run)),
        ("ticket", counted(&counts.ticket)),
    ]);
    let role = object([
        ("id", text(&role.id)),
        ("stage", text(&role.stage)),
        ("title", text(&role.title)),
        ("tools", texts(&role.tools)),
    ]);
    let run = object([
        ("attempt", number(run.attempt)),
        ("id", text(&run.id)),
        ("steps", number(run.steps)),
        ("worker", text(&run.worker)),
    ]);
    let spent = object([
        ("role_today", amount(&spent.role_today)),
        ("run", amount(&spent.run)),
        ("tenant_today", amount(&spent.tenant_today)),
        ("ticket", amount(&spent.ticket)),
    ]);
    let ticket = object([
        ("approval_required", Value::from(ticket.approval_required)),
        ("due", text(&ticket.due)),
        ("id", text(&ticket.id)),
        ("opened_by", text(&ticket.opened_by)),
        ("priority", number(ticket.priority)),
        ("stage", text(&ticket.stage)),
    ]);
    let worst = object([
        ("calls", number(worst.calls)),
        ("model", text(&worst.model)),
        ("money_micros", number(worst.money_micros)),
        ("tokens_in", number(worst.tokens_in)),
        ("tokens_out", number(worst.tokens_out)),
        ("wall_seconds", number(worst.wall_seconds)),
    ]);
    object([
        ("action", action),
        ("actor", actor),
        ("approvals", approvals),
        ("cost", cost),
        ("counts", counts),
        ("phase", text(phase)),
        ("role", role),
        ("run", run),
        ("spent", spent),
        ("tenant", text(tenant)),
        ("ticket", ticket),
        ("tier", number(*tier)),
        ("time", number(*time)),
        ("worst", worst),
    ])
}

fn counted(count: &Count) -> Value {
    let Count { actions, denied, failed, held, routed, same_error, violations } = *count;
    object([
        ("actions", number(actions)),
        ("denied", number(denied)),
        ("failed", number(failed)),
        ("held", number(held)),
        ("routed", number(routed)),
        ("same_error", number(same_error)),
        ("violations", number(violations)),
    ])
}

fn amount(amount: &Amount) -> Value {
    let Amount { calls, money_micros, tokens, wall_seconds } = *amount;
    object([
        ("calls", number(calls)),
        ("money_micros", number(money_micros)),
        ("tokens", number(tokens)),
        ("wall_seconds", number(wall_seconds)),
    ])
}

fn fields<'a>(fields: impl Iterator<Item = (&'a String, &'a Json)>) -> Value {
    Value::from(fields.map(|(name, v)| (text(name), value(v))).collect::<BTreeMap<_, _>>())
}

/// A strict value, as the engine's.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::from(*yes),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::Undefined,
        },
        Json::String(s) => text(s),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(all) => fields(all.iter()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::input::{Action, Actor, Approvals, Cost, Counts, Role, Run, Spent, Ticket, Worst};

    /// The long way: the library's canonical JSON, read by the strict reader.
    fn long_way(input: &Input) -> Result<Ready, [u8; 32]> {
        let bytes = serde_json_canonicalizer::to_vec(input).map_err(|_| [0; 32])?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if bytes.len() > limits::INPUT_BYTES {
            return Err(digest);
        }
        let value = canonry_schemas::json::parse(&bytes).map_err(|_| digest)?;
        Ok(Ready { value: Value::from(value), digest })
    }

    fn agree(input: &Input) -> bool {
        match (ready(input), long_way(input)) {
            (Ok(one), Ok(other)) => one.value == other.value && one.digest == other.digest,
            (Err(one), Err(other)) => one == other,
            _ => false,
        }
    }

    fn whole_or_not() -> impl Strategy<Value = u64> {
        let most = JSON_INTEGER.unsigned_abs();
        prop_oneof![40 => 0..most, 2 => Just(most), 1 => most..most + 3]
    }

    fn json() -> impl Strategy<Value = Json> {
        let most = JSON_INTEGER;
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-most..=most).prop_map(Json::from),
            Just(json!(most)),
            Just(json!(-most)),
            Just(json!(-most - 1)),
            Just(json!(1.5)),
            "[\\x00-\\x7f]{0,6}|\\PC{0,4}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map("[a-z\u{fb01}\u{1f600}\u{7f}\"]{0,3}", inner, 0..4)
                    .prop_map(|all| all.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let texts = proptest::collection::vec("[\\x00-\\x7f]{0,6}|\\PC{0,4}", 20);
        let numbers = proptest::collection::vec(whole_or_not(), 54);
        let args = proptest::collection::btree_map("[a-z\u{fb01}\u{1f600}]{0,3}", json(), 0..4);
        let lists = proptest::collection::vec(proptest::collection::vec("\\PC{0,4}", 0..3), 2);
        (texts, numbers, args, lists, any::<bool>()).prop_map(
            |(texts, numbers, args, lists, yes)| {
                let (mut texts, mut numbers) = (texts.into_iter(), numbers.into_iter());
                let mut t = || texts.next().unwrap();
                let mut n = || numbers.next().unwrap();
                let mut lists = lists.into_iter();
                let mut l = || lists.next().unwrap();
                let mut count = || Count {
                    actions: n(),
                    denied: n(),
                    failed: n(),
                    held: n(),
                    routed: n(),
                    same_error: n(),
                    violations: n(),
                };
                let counts = Counts { role: count(), run: count(), ticket: count() };
                let mut amount =
                    || Amount { calls: n(), money_micros: n(), tokens: n(), wall_seconds: n() };
                let (role_today, run, tenant_today, ticket) =
                    (amount(), amount(), amount(), amount());
                Input {
                    action: Action { action: t(), args, tool: t() },
                    actor: Actor { id: t(), kind: t(), level: n() },
                    approvals: Approvals { by: l(), given: n(), level: n() },
                    cost: Cost { action: n(), role: n(), run: n(), ticket: n() },
                    counts,
                    phase: t(),
                    role: Role { id: t(), stage: t(), title: t(), tools: l() },
                    run: Run { attempt: n(), id: t(), steps: n(), worker: t() },
                    spent: Spent { role_today, run, tenant_today, ticket },
                    tenant: t(),
                    ticket: Ticket {
                        approval_required: yes,
                        due: t(),
                        id: t(),
                        opened_by: t(),
                        priority: n(),
                        stage: t(),
                    },
                    tier: n(),
                    time: n(),
                    worst: Worst {
                        calls: n(),
                        model: t(),
                        money_micros: n(),
                        tokens_in: n(),
                        tokens_out: n(),
                        wall_seconds: n(),
                    },
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn the_short_way_and_the_long_way_agree(input in any_input()) {
            prop_assert!(agree(&input));
        }
    }

    #[test]
    fn what_is_nested_deeper_than_may_be_read_is_refused_at_the_same_depth() {
        for mut one in [json!(1), json!([]), json!({})] {
            let mut refused = 0;
            for _ in 0..JSON_DEPTH + 2 {
                let mut input = Input::default();
                input.action.args.insert("a".to_owned(), one.clone());
                assert!(agree(&input), "{input:?}");
                refused += usize::from(ready(&input).is_err());
                one = json!([one]);
            }
            assert!(refused > 0 && refused < JSON_DEPTH, "{refused}");
        }
    }

    #[test]
    fn what_is_longer_than_an_input_may_be_is_refused() {
        let mut input = Input::default();
        let bytes = serde_json::to_vec(&input).unwrap().len();
        // Beside the text stand its name, two pairs of marks and a colon.
        let long = limits::INPUT_BYTES - bytes - r#""a":"""#.len();
        input.action.args.insert("a".to_owned(), "x".repeat(long).into());
        assert!(ready(&input).is_ok() && agree(&input));
        input.action.args.insert("a".to_owned(), "x".repeat(long + 1).into());
        assert!(ready(&input).is_err() && agree(&input));
    }
}
