//! Which builtins a decision may call, and those that are ours because the engine's have no bound.
//!
//! A decision may call what gives the same answer to everybody who has the input and the bundle (no
//! clock, no network, no chance), and what cannot make much of little in one step: the meter looks
//! at memory between steps only. `docs/policy.md` lists them for authors.

use regorus::{Engine, Value};

use crate::limits;

/// What a decision may call beside operators and the policy's own functions.
#[rustfmt::skip]
pub const ALLOWED: &[&str] = &[
    "abs", "array.concat", "array.flatten", "array.reverse", "array.slice", "base64.decode", "base64.encode",
    "base64.is_valid", "base64url.decode", "base64url.encode", "base64url.encode_no_pad",
    "bits.and", "bits.negate", "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains",
    "count", "crypto.hmac.equal", "crypto.hmac.sha256", "crypto.hmac.sha512", "crypto.sha256",
    "endswith", "floor", "format_int", "glob.match", "glob.quote_meta",
    "graph.reachable", "hex.decode", "hex.encode", "indexof", "indexof_n", "internal.template_string",
    "intersection",
    "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string",
    "json.filter", "json.is_valid", "json.marshal", "json.remove", "lower", "max", "min",
    "net.cidr_contains", "net.cidr_contains_matches", "net.cidr_intersects", "net.cidr_is_valid",
    "numbers.range", "object.filter", "object.get", "object.keys", "object.remove",
    "object.subset", "object.union", "object.union_n", "print", "product", "regex.find_n",
    "regex.is_valid", "regex.match", "regex.split", "replace", "round", "semver.compare",
    "semver.is_valid", "sort", "split", "sprintf", "startswith", "strings.any_prefix_match",
    "strings.any_suffix_match", "strings.reverse", "substring", "sum",
    "time.add_date", "time.clock", "time.date", "time.diff", "time.parse_duration_ns",
    "time.parse_rfc3339_ns", "time.weekday", "to_number", "trim", "trim_left", "trim_prefix",
    "trim_right", "trim_space", "trim_suffix", "type_name", "union",
    "upper", "urlquery.decode", "urlquery.encode", "walk",
];

fn wrong(what: &'static str) -> Box<dyn std::error::Error + Send + Sync> {
    what.into()
}

type Answer = Result<Value, Box<dyn std::error::Error + Send + Sync>>;

/// Puts our own in place of the engine's.
///
/// # Errors
/// The engine has one of them already.
pub(crate) fn install(engine: &mut Engine) -> Result<(), String> {
    type Own = (&'static str, u8, fn(&[Value]) -> Answer);
    let own: [Own; 4] = [
        ("numbers.range", 2, range),
        ("concat", 2, concat),
        ("replace", 3, replace),
        ("to_number", 1, to_number),
    ];
    for (name, arguments, run) in own {
        let call =
            move |given: Vec<Value>| run(&given).map_err(|e| std::io::Error::other(e).into());
        engine
            .add_extension(name.to_owned(), arguments, Box::new(call))
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, Box<dyn std::error::Error + Send + Sync>> {
    value.as_string().map(|s| &**s).map_err(|_| wrong("not a text"))
}

fn range(given: &[Value]) -> Answer {
    let [from, to] = given else { return Err(wrong("two numbers")) };
    let (Ok(from), Ok(to)) = (from.as_i64(), to.as_i64()) else {
        return Err(wrong("not whole numbers"));
    };
    if from.abs_diff(to) >= limits::RANGE.unsigned_abs() {
        return Err(wrong("numbers.range is longer than it may be"));
    }
    let up = || (from..=to).map(Value::from).collect::<Vec<_>>();
    let down = || (to..=from).rev().map(Value::from).collect::<Vec<_>>();
    Ok(Value::from(if from <= to { up() } else { down() }))
}

fn concat(given: &[Value]) -> Answer {
    let [between, many] = given else { return Err(wrong("a text and a list")) };
    let between = text(between)?;
    let parts: Vec<&str> = match many {
        Value::Array(items) => items.iter().map(text).collect::<Result<_, _>>()?,
        Value::Set(items) => items.iter().map(text).collect::<Result<_, _>>()?,
        _ => return Err(wrong("not a list of texts")),
    };
    let long = parts.iter().map(|p| p.len() + between.len()).sum::<usize>();
    if long > limits::TEXT {
        return Err(wrong("concat makes a longer text than it may"));
    }
    Ok(Value::from(parts.join(between)))
}

fn replace(given: &[Value]) -> Answer {
    let [within, old, new] = given else { return Err(wrong("three texts")) };
    let (within, old, new) = (text(within)?, text(old)?, text(new)?);
    let often = within.matches(old).count();
    if within.len() + often.saturating_mul(new.len()) > limits::TEXT {
        return Err(wrong("replace makes a longer text than it may"));
    }
    Ok(Value::from(within.replace(old, new)))
}

/// Whole numbers and short decimal fractions; no exponent, which makes a great number of few digits.
fn to_number(given: &[Value]) -> Answer {
    Ok(match given {
        [Value::Null] => Value::from(0_i64),
        [Value::Bool(yes)] => Value::from(i64::from(*yes)),
        [number @ Value::Number(_)] => number.clone(),
        [Value::String(digits)] => {
            let plain = digits.len() <= 32
                && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
            if !plain {
                return Err(wrong("to_number: not a number"));
            }
            Value::from_json_str(digits).map_err(|_| wrong("to_number: not a number"))?
        }
        _ => return Err(wrong("to_number: not a number")),
    })
}
