//! `providers.aws.sign_req`: a request to AWS, signed with Signature Version 4 (HMAC-SHA256).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use canonry_schemas::time::Time;
use regorus::Value;
use ring::hmac;
use sha2::{Digest as _, Sha256};

use super::{Answer, Builtin, text_of};
use crate::hex;

pub(super) const ALL: &[Builtin] = &[("providers.aws.sign_req", 3, sign_req)];

/// Headers that proxies change, so that they are not signed.
const UNSIGNED: [&str; 4] = ["authorization", "user-agent", "x-amzn-trace-id", "transfer-encoding"];

/// Host, path and query of a URL.
fn parts(url: &str) -> Result<(&str, &str, &str), String> {
    let (_, rest) = url.split_once("://").ok_or("url without a scheme")?;
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() {
        return Err("url without a host".to_owned());
    }
    Ok((host, path, query))
}

fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Object(fields) = object else { return None };
    fields.get(&Value::from(name))
}

fn required<'a>(object: &'a Value, name: &str) -> Result<&'a str, String> {
    text_of(field(object, name).ok_or_else(|| format!("missing required field: {name}"))?)
}

/// What is signed of a request's body.
fn body_hash(request: &Value, config: &Value) -> Result<String, String> {
    match field(config, "disable_payload_signing") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => return Ok("UNSIGNED-PAYLOAD".to_owned()),
        Some(_) => return Err("invalid value for 'disable_payload_signing'".to_owned()),
    }
    let body = match (field(request, "raw_body"), field(request, "body")) {
        (Some(raw), _) => text_of(raw)?.to_owned(),
        (None, Some(body)) => serde_json::to_string(body).map_err(|e| e.to_string())?,
        (None, None) => String::new(),
    };
    Ok(hex(&Sha256::digest(body)))
}

/// `20151228T140825Z`.
fn stamp(nanos: &Value) -> Result<String, String> {
    let nanos = nanos.as_i64().ok().filter(|n| *n >= 0);
    let nanos = nanos.ok_or("could not convert time_ns value into a unix timestamp")?;
    let text = Time(nanos / 1_000).to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    Ok(format!("{}Z", seconds.replace(['-', ':'], "").trim_end_matches('Z')))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sign_req(given: &[Value]) -> Answer {
    let [request, config, time] = given else { return Err("three operands".to_owned()) };
    let (method, url) = (required(request, "method")?, required(request, "url")?);
    let (key, secret) =
        (required(config, "aws_access_key")?, required(config, "aws_secret_access_key")?);
    let (service, region) = (required(config, "aws_service")?, required(config, "aws_region")?);
    let (host, path, query) = parts(url)?;
    let stamp = stamp(time)?;
    let hash = body_hash(request, config)?;
    let mut own = BTreeMap::from([("host", host.to_owned()), ("x-amz-date", stamp.clone())]);
    if matches!(service, "s3" | "glacier") {
        own.insert("x-amz-content-sha256", hash.clone());
    }
    if let Some(token) = field(config, "aws_session_token") {
        own.insert("x-amz-security-token", text_of(token)?.to_owned());
    }
    // What the request brought itself is sent unless it is ours, and is signed whatever it is: so OPA.
    let mut headers = BTreeMap::new();
    let mut signed: BTreeMap<String, String> =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if let Some(Value::Object(brought)) = field(request, "headers") {
        for (name, value) in brought.iter() {
            let (name, value) = (text_of(name)?, text_of(value)?);
            headers.insert(name.to_owned(), value.to_owned());
            let lower = name.to_lowercase();
            if !UNSIGNED.contains(&&*lower) {
                signed.insert(lower, value.to_owned());
            }
        }
    }
    headers.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let names = signed.keys().cloned().collect::<Vec<_>>().join(";");
    let mut queries: Vec<&str> = query.split('&').collect();
    queries.sort_unstable();
    let mut canonical = format!("{method}\n{path}\n{}\n", queries.join("&"));
    for (name, value) in &signed {
        writeln!(canonical, "{name}:{}", value.trim()).map_err(|e| e.to_string())?;
    }
    write!(canonical, "\n{names}\n{hash}").map_err(|e| e.to_string())?;
    let day = stamp.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let first = format!("AWS4{secret}").into_bytes();
    let key_of_day =
        [day, region, service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={key}/{scope},SignedHeaders={names},Signature={}",
        hex(&mac(&key_of_day, &text))
    );
    headers.insert("Authorization".to_owned(), authorization);
    let headers: BTreeMap<Value, Value> =
        headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let Value::Object(fields) = request else { return Err("no request".to_owned()) };
    let mut all: BTreeMap<Value, Value> =
        fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    all.insert("headers".into(), headers.into());
    Ok(Value::from(all))
}
