//! `io.jwt.*`: tokens (RFC 7519) signed as JWS (RFC 7515) by the algorithms of RFC 7518 and RFC 8037.
//!
//! Without a clock and without chance: `decode_verify` of a token with `exp` or `nbf` needs a `time`,
//! and what is signed with chance (`PS…`, `ES…`) is verified only.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use regorus::Value;

use super::jwk::{self, Algorithm};
use super::{Answer, Builtin, text_of};
use crate::{hex, limits};

type Json = serde_json::Value;

macro_rules! verified {
    ($($name:literal $algorithm:literal)*) => {
        &[
            ("io.jwt.decode", 1, decode),
            ("io.jwt.decode_verify", 2, decode_verify),
            ("io.jwt.encode_sign", 3, encode_sign),
            ("io.jwt.encode_sign_raw", 3, encode_sign_raw),
            $((concat!("io.jwt.verify_", $name), 2, |given| verify(given, $algorithm))),*
        ]
    };
}

pub(super) const ALL: &[Builtin] = verified! {
    "hs256" "HS256" "hs384" "HS384" "hs512" "HS512"
    "rs256" "RS256" "rs384" "RS384" "rs512" "RS512"
    "ps256" "PS256" "ps384" "PS384" "ps512" "PS512"
    "es256" "ES256" "es384" "ES384" "eddsa" "EdDSA"
};

/// A token's three parts.
struct Token<'a> {
    header: serde_json::Map<String, Json>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// What the signature is over.
    signed: &'a str,
}

/// As OPA reads: with padding or without, whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn unbase64(text: &str) -> Result<Vec<u8>, String> {
    LENIENT.decode(text).map_err(|e| format!("not base64url: {e}"))
}

impl<'a> Token<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(format!("encoded JWT must have 3 sections, found {}", parts.len()));
        };
        let signed = &text[..text.len() - signature.len() - 1];
        let header = serde_json::from_slice(&unbase64(header)?)
            .map_err(|e| format!("JWT header is not a JSON object: {e}"))?;
        let token =
            Self { header, payload: unbase64(payload)?, signature: unbase64(signature)?, signed };
        if token.header.contains_key("enc") {
            return Err("JWT is a JWE object, which is not supported".to_owned());
        }
        Ok(token)
    }

    fn named(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Json::as_str)
    }

    /// The token that this one carries, where it says that it carries one.
    fn nested(&self) -> Result<Option<String>, String> {
        if !self.named("cty").is_some_and(|t| t.eq_ignore_ascii_case("JWT")) {
            return Ok(None);
        }
        let text = std::str::from_utf8(&self.payload).map_err(|e| e.to_string())?;
        Ok(Some(text.trim_matches('"').to_owned()))
    }

    fn claims(&self) -> Result<serde_json::Map<String, Json>, String> {
        serde_json::from_slice(&self.payload)
            .map_err(|e| format!("JWT payload is not a JSON object: {e}"))
    }
}

fn decode(given: &[Value]) -> Answer {
    let [token] = given else { return Err("one token".to_owned()) };
    let mut text = text_of(token)?.to_owned();
    for _ in 0..limits::NESTING {
        let token = Token::read(&text)?;
        if let Some(inner) = token.nested()? {
            text = inner;
            continue;
        }
        let all = vec![
            Value::from(Json::Object(token.header.clone())),
            Value::from(Json::Object(token.claims()?)),
            Value::from(hex(&token.signature)),
        ];
        return Ok(Value::from(all));
    }
    Err("tokens nested too deep".to_owned())
}

fn verify(given: &[Value], algorithm: &str) -> Answer {
    let [token, key] = given else { return Err("a token and a key".to_owned()) };
    let (token, key) = (Token::read(text_of(token)?)?, text_of(key)?);
    let algorithm = Algorithm::named(algorithm).ok_or("no such algorithm")?;
    // A secret is a secret here; where there is a choice, the algorithm says what a key is.
    let good = if algorithm.is_secret() {
        algorithm.verify_secret(key.as_bytes(), token.signed, &token.signature)
    } else {
        let keys = jwk::public_keys(key)?;
        keys.iter().any(|k| algorithm.verify(k, token.signed, &token.signature))
    };
    Ok(Value::from(good))
}

/// What a token is held against.
struct Constraints {
    keys: Vec<jwk::Public>,
    secret: Option<String>,
    algorithm: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    time: Option<i128>,
}

impl Constraints {
    fn read(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err("no constraints".to_owned()) };
        let mut all = Self {
            keys: Vec::new(),
            secret: None,
            algorithm: None,
            issuer: None,
            audience: None,
            time: None,
        };
        for (name, field) in fields.iter() {
            let text = || text_of(field).map(str::to_owned);
            match text_of(name)? {
                "cert" => all.keys = jwk::public_keys(&text()?)?,
                "secret" => all.secret = Some(text()?),
                "alg" => all.algorithm = Some(text()?),
                "iss" => all.issuer = Some(text()?),
                "aud" => all.audience = Some(text()?),
                "time" => {
                    let number = serde_json::to_value(field).map_err(|e| e.to_string())?;
                    all.time = Some(scaled(&number, 0).ok_or("time value must be a number")?);
                }
                other => return Err(format!("unknown constraint: {other}")),
            }
        }
        if all.keys.is_empty() == all.secret.is_none() {
            return Err("one of cert and secret, and not both".to_owned());
        }
        Ok(all)
    }

    fn signed(&self, token: &Token<'_>) -> Result<bool, String> {
        let Some(name) = token.named("alg") else { return Ok(false) };
        if self.algorithm.as_deref().is_some_and(|wanted| wanted != name) {
            return Ok(false);
        }
        // Nothing that a token may call critical is known here.
        if token.header.contains_key("crit") {
            return Ok(false);
        }
        let algorithm =
            Algorithm::named(name).ok_or_else(|| format!("unknown JWS algorithm: {name}"))?;
        Ok(match &self.secret {
            Some(secret) => {
                algorithm.verify_secret(secret.as_bytes(), token.signed, &token.signature)
            }
            None => self.keys.iter().any(|k| algorithm.verify(k, token.signed, &token.signature)),
        })
    }

    fn met(&self, claims: &serde_json::Map<String, Json>) -> Result<bool, String> {
        let is = |name: &str, wanted: &str| claims.get(name).and_then(Json::as_str) == Some(wanted);
        if self.issuer.as_deref().is_some_and(|wanted| !is("iss", wanted)) {
            return Ok(false);
        }
        let meant = match (&self.audience, claims.get("aud")) {
            (None, None) => true,
            (Some(wanted), Some(Json::Array(all))) => all.iter().any(|a| a == wanted.as_str()),
            (Some(wanted), Some(_)) => is("aud", wanted),
            _ => false,
        };
        let at = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                scaled(value, 9).map(Some).ok_or_else(|| format!("{name} value must be a number"))
            }
        };
        let (until, from) = (at("exp")?, at("nbf")?);
        // Without a time nothing that has one is good: there is no clock here.
        let begun = from.is_none_or(|from| self.time.is_some_and(|time| time >= from));
        let goes_on = until.is_none_or(|until| self.time.is_some_and(|time| time < until));
        Ok(meant && begun && goes_on)
    }
}

/// A number times a power of ten, exactly, without what is left of one.
fn scaled(value: &Json, power: i32) -> Option<i128> {
    let text = value.as_number()?.to_string();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let moved = exponent.parse::<i32>().ok()?.checked_add(power)?;
    let moved = moved.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let factor = 10_i128.checked_pow(moved.unsigned_abs())?;
    if moved < 0 { Some(digits.div_euclid(factor)) } else { digits.checked_mul(factor) }
}

fn decode_verify(given: &[Value]) -> Answer {
    let [token, constraints] = given else { return Err("a token and constraints".to_owned()) };
    let constraints = Constraints::read(constraints)?;
    let refused =
        || Ok(Value::from(vec![Value::from(false), Value::new_object(), Value::new_object()]));
    let mut text = text_of(token)?.to_owned();
    for _ in 0..limits::NESTING {
        let token = Token::read(&text)?;
        if !constraints.signed(&token)? {
            return refused();
        }
        if let Some(inner) = token.nested()? {
            text = inner;
            continue;
        }
        let claims = token.claims()?;
        if !constraints.met(&claims)? {
            return refused();
        }
        let header = Value::from(Json::Object(token.header.clone()));
        let claims = Value::from(Json::Object(claims));
        return Ok(Value::from(vec![Value::from(true), header, claims]));
    }
    Err("tokens nested too deep".to_owned())
}

fn encode_sign(given: &[Value]) -> Answer {
    let [header, payload, key] = given else { return Err("three objects".to_owned()) };
    let json = |value: &Value| serde_json::to_string(value).map_err(|e| e.to_string());
    signed(&json(header)?, &json(payload)?, &json(key)?)
}

fn encode_sign_raw(given: &[Value]) -> Answer {
    let [header, payload, key] = given else { return Err("three texts".to_owned()) };
    signed(text_of(header)?, text_of(payload)?, text_of(key)?)
}

fn signed(header: &str, payload: &str, key: &str) -> Answer {
    let wrong = |why: String| format!("missing or invalid 'alg' header: {why}");
    let read: Json = serde_json::from_str(header).map_err(|e| wrong(e.to_string()))?;
    let name = read.get("alg").and_then(Json::as_str).ok_or_else(|| wrong("none".to_owned()))?;
    let algorithm =
        Algorithm::named(name).ok_or_else(|| format!("unknown JWS algorithm: {name}"))?;
    let jwt = read.get("typ").and_then(Json::as_str).is_none_or(|t| t.is_empty() || t == "JWT");
    if jwt && serde_json::from_str::<Json>(payload).is_err() {
        return Err("type is JWT but payload is not JSON".to_owned());
    }
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = algorithm.sign(key, &text)?;
    Ok(Value::from(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
