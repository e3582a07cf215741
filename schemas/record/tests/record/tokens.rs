//! Tokens: round trips, and everything that must not pass.

use canonry_record::hash::sha256;
use canonry_record::jws::{self, Approval, Bearer, Decision, RequestToken, TokenError};
use canonry_record::{Hash, encoding::base64url};
use serde_json::json;

use crate::forge::signer;

const NOW: i64 = 1_769_860_800;

fn bearer() -> Bearer {
    Bearer {
        iss: "ines".into(),
        aud: "canonry/acme/api".into(),
        ten: "acme".into(),
        iat: NOW,
        exp: NOW + 600,
        jti: "01".into(),
    }
}

#[test]
fn only_the_very_token_passes() {
    let me = signer("ines-member");
    let key = me.key.verifying_key();
    let token = jws::sign(&bearer(), &me);
    assert_eq!(jws::verify_as::<Bearer>(&token, &key), Ok(bearer()));
    assert_eq!(jws::peek(&token).unwrap().kid, me.id);
    let other = signer("bob-member").key.verifying_key();
    assert_eq!(jws::verify(&token, &other), Err(TokenError::Header));
    assert_eq!(jws::verify_as::<Approval>(&token, &key), Err(TokenError::Malformed));
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] ^= 1;
        let text = String::from_utf8(bytes).unwrap();
        assert!(jws::verify(&text, &key).is_err(), "{at}");
    }
    for bad in
        ["", ".", "..", "a.b.c", &format!("{token}="), &format!("{token}.x"), &"a".repeat(5_000)]
    {
        assert_eq!(jws::verify(bad, &key), Err(TokenError::Malformed), "{bad}");
    }
}

#[test]
fn other_headers_are_refused() {
    use ed25519_dalek::Signer as _;
    let me = signer("ines-member");
    let kid = &me.id;
    for header in [
        json!({ "alg": "none", "typ": "JWT", "kid": kid }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": kid }),
        json!({ "alg": "EdDSA", "kid": kid }),
        json!({ "alg": "EdDSA", "typ": "JWT" }),
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid, "crit": [] }),
        json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid, "jwk": {} }),
    ] {
        let signed = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(b"{}"));
        let signature = me.key.sign(signed.as_bytes()).to_bytes();
        let token = format!("{signed}.{}", base64url(&signature));
        assert_eq!(
            jws::verify(&token, &me.key.verifying_key()),
            Err(TokenError::Header),
            "{header}"
        );
        assert!(jws::peek(&token).is_err());
    }
}

#[test]
fn bearers_live_an_hour_at_most() {
    let at = |iat: i64, exp: i64| {
        Bearer { iat: NOW + iat, exp: NOW + exp, ..bearer() }.check("acme", NOW)
    };
    assert_eq!(at(0, 3_600), Ok(()));
    assert_eq!(at(60, 100), Ok(()));
    assert_eq!(at(0, 3_601), Err(TokenError::Lifetime));
    assert_eq!(at(61, 100), Err(TokenError::Lifetime));
    assert_eq!(at(-10, 0), Err(TokenError::Expired));
    assert_eq!(bearer().check("beta", NOW), Err(TokenError::Audience));
    let extreme = Bearer { iat: i64::MIN, exp: i64::MAX, ..bearer() };
    assert_eq!(extreme.check("acme", NOW), Err(TokenError::Lifetime));
}

#[test]
fn requests_and_approvals_stand_for_one_thing() {
    let request = RequestToken {
        iss: "ines".into(),
        aud: "canonry/acme/request".into(),
        aggregate: "role".into(),
        verb: "hire".into(),
        body: sha256(b"{}"),
        intent: "I".into(),
        iat: NOW,
        exp: NOW + 60,
    };
    let check = |tenant, verb, body: &[u8], intent| {
        request.check(tenant, ("role", verb), body, intent, NOW)
    };
    assert_eq!(check("acme", "hire", b"{}", "I"), Ok(()));
    assert_eq!(check("beta", "hire", b"{}", "I"), Err(TokenError::Audience));
    assert_eq!(check("acme", "fire", b"{}", "I"), Err(TokenError::Audience));
    assert_eq!(check("acme", "hire", b"{ }", "I"), Err(TokenError::Audience));
    assert_eq!(check("acme", "hire", b"{}", "J"), Err(TokenError::Audience));

    let approval = Approval {
        iss: "ines".into(),
        aud: "canonry/acme/approval".into(),
        sub: "ticket/t".into(),
        decision: Decision::Approve,
        intent: "I".into(),
        iat: NOW,
        exp: NOW + 600,
        position: 7,
        hash: Hash([1; 32]),
    };
    let check = |what, asked, now| approval.check("acme", what, "I", asked, now);
    let (what, asked) = (("ticket/t", Decision::Approve), (7, Hash([1; 32])));
    assert_eq!(check(what, asked, NOW), Ok(()));
    assert_eq!(check(("ticket/t", Decision::Reject), asked, NOW), Err(TokenError::Audience));
    assert_eq!(check(("ticket/u", Decision::Approve), asked, NOW), Err(TokenError::Audience));
    assert_eq!(check(what, (8, Hash([1; 32])), NOW), Err(TokenError::Audience));
    assert_eq!(check(what, (7, Hash([2; 32])), NOW), Err(TokenError::Audience));
    assert_eq!(check(what, asked, NOW + 600), Err(TokenError::Expired));
    let text = serde_json::to_string(&approval).unwrap();
    assert!(text.contains(r#""decision":"approve""#), "{text}");
}
