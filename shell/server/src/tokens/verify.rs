//! One token: its form, its signature, its times. What it is good for is in `claims.rs`.

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Map, Value};
use tandem_store::Signer;

use super::claims::Claims;
use super::{Refused, date, excerpt, read};

/// Bytes.
const MOST: usize = 8 << 10;
/// Clocks differ: so many seconds make no difference.
const LEEWAY: u64 = 10;

/// Whose key has signed it, as it says itself.
pub(super) fn issuer(text: &str) -> Result<String, Refused> {
    let payload = payload(text)?;
    match payload.get("iss").and_then(Value::as_str) {
        Some(issuer) if !issuer.is_empty() => Ok(excerpt(issuer)),
        _ => Err(Refused::Forged("the token has no `iss`, the id of the API key it was made with".into())),
    }
}

/// What it says, true or not.
pub(super) fn look(text: &str) -> Result<Claims, Refused> {
    read::claims(&payload(text)?).map_err(Refused::Bad)
}

fn payload(text: &str) -> Result<Map<String, Value>, Refused> {
    if text.len() > MOST {
        return Err(Refused::Forged(format!("expected a token of at most {MOST} bytes, got {}", text.len())));
    }
    insecure_decode_claims(text).map_err(|_| {
        Refused::Forged(
            "expected a token (JWT): three parts of base64url with dots between, the second a JSON object".into(),
        )
    })
}

/// What it says, which this key has signed, and which is good at this time (in seconds since 1970).
pub(super) fn verify(text: &str, signer: &Signer, now: u64) -> Result<Claims, Refused> {
    let key = DecodingKey::from_secret(signer.secret.as_bytes());
    let token = decode::<Map<String, Value>>(text, &key, &signature_alone()).map_err(|error| match error.kind() {
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            Refused::Forged("expected a token that is signed with HS256".into())
        }
        ErrorKind::InvalidSignature => Refused::Forged(format!(
            "the token's signature is wrong: expected one by the signing secret of the key `{}` \
             (`tandem key secret {}` prints it)",
            signer.id, signer.id
        )),
        other => Refused::Forged(format!("the token cannot be read: {other:?}")),
    })?;
    let claims = read::claims(&token.claims).map_err(Refused::Bad)?;
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(Refused::Bad(format!("the token has expired: it was good until {}", date(claims.exp))));
    }
    match claims.nbf {
        Some(from) if from > now.saturating_add(LEEWAY) => {
            let (from, now) = (date(from), date(now));
            Err(Refused::Bad(format!("the token is good from {from} on, and it is {now}")))
        }
        _ => Ok(claims),
    }
}

/// Times are looked at here, with the clock that is given.
fn signature_alone() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// Signs what is to be said.
pub fn sign(claims: &Claims, signer: &Signer) -> Result<String, String> {
    let key = EncodingKey::from_secret(signer.secret.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|error| error.to_string())?;
    if token.len() > MOST {
        return Err(format!("expected less: the token would have {} bytes, and at most {MOST} are taken", token.len()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn signer() -> Signer {
        Signer { id: "0123456789ab".into(), secret: "a secret for tests".into() }
    }

    const NOW: u64 = 1_800_000_000;

    /// With any header and payload, signed by this secret.
    fn token(header: &Value, payload: &Value, secret: &str) -> String {
        use hmac::{Hmac, Mac as _};
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(payload));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    fn with(changes: Value) -> Value {
        let mut payload =
            json!({ "iss": "0123456789ab", "sub": "ann", "exp": NOW + 60, "video": { "roomJoin": true } });
        for (name, value) in changes.as_object().expect("an object") {
            payload[name] = value.clone();
        }
        payload
    }

    fn verified(payload: Value) -> Result<Claims, Refused> {
        verify(&token(&json!({ "alg": "HS256", "typ": "JWT" }), &payload, &signer().secret), &signer(), NOW)
    }

    #[test]
    fn what_we_sign_is_taken_and_what_others_sign_by_the_rfc_is_too() {
        let claims = Claims {
            iss: signer().id,
            sub: Some("ann".into()),
            exp: NOW + 1,
            video: Some(super::super::Video { room: Some("kitchen".into()), room_join: true, ..Default::default() }),
            ..Claims::default()
        };
        let text = sign(&claims, &signer()).expect("a token");
        assert_eq!(issuer(&text), Ok(signer().id));
        assert_eq!(verify(&text, &signer(), NOW), Ok(claims));
        let more = json!({ "exp": 1_800_000_060.5, "nbf": 0, "jti": "x", "sip": { "call": true }, "name": null });
        let claims = verified(with(more)).expect("claims");
        assert_eq!((claims.exp, claims.nbf, claims.name), (NOW + 60, Some(0), None));
    }

    #[test]
    fn times_count_to_within_ten_seconds() {
        assert!(verified(with(json!({ "exp": NOW - 9, "nbf": NOW + 10 }))).is_ok());
        let Err(Refused::Bad(expired)) = verified(with(json!({ "exp": NOW - 10 }))) else { panic!("it has expired") };
        assert_eq!(expired, "the token has expired: it was good until 2027-01-15 07:59:50 UTC");
        let Err(Refused::Bad(early)) = verified(with(json!({ "nbf": NOW + 11 }))) else { panic!("it is early") };
        assert!(early.contains("good from 2027-01-15 08:00:11 UTC on"), "{early}");
    }

    #[test]
    fn a_claim_of_the_wrong_kind_is_named() {
        for (changes, says) in [
            (json!({ "exp": null }), "no `exp`"),
            (json!({ "exp": "tomorrow" }), "`exp`: expected seconds since 1970, got \"tomorrow\""),
            (json!({ "exp": -1 }), "`exp`: expected seconds"),
            (json!({ "exp": 1e300 }), "`exp`: expected seconds"),
            (json!({ "name": 7 }), "`name`: expected a text, got 7"),
            (json!({ "video": [] }), "`video`: expected an object"),
            (json!({ "video": { "roomJoin": "yes" } }), "`video.roomJoin`: expected `true` or `false`, got \"yes\""),
            (json!({ "video": { "canPublishSources": ["mic"] } }), "`video.canPublishSources`: expected a list of"),
            (json!({ "metadata": "x".repeat(100).split("").collect::<Vec<_>>() }), "…"),
        ] {
            let refused = verified(with(changes)).expect_err("a refusal");
            assert!(matches!(&refused, Refused::Bad(said) if said.contains(says)), "{refused:?}");
        }
    }

    #[test]
    fn what_nobody_with_the_key_has_made_is_forged() {
        let header = json!({ "alg": "HS256" });
        let good = token(&header, &with(json!({})), &signer().secret);
        let (message, signature) = good.rsplit_once('.').expect("three parts");
        for text in [
            token(&header, &with(json!({})), "another secret"),
            token(&json!({ "alg": "none" }), &with(json!({})), &signer().secret),
            token(&json!({ "alg": "HS512" }), &with(json!({})), &signer().secret),
            token(&json!({ "alg": "RS256" }), &with(json!({})), &signer().secret),
            format!("{message}."),
            message.to_owned(),
            format!("{message}.{signature}x"),
            format!("{message}.{signature}."),
        ] {
            assert!(matches!(verify(&text, &signer(), NOW), Err(Refused::Forged(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_has_no_issuer() {
        let header = json!({ "alg": "HS256" });
        for text in [
            String::new(),
            "..".into(),
            "a.b.c".into(),
            "x".repeat(MOST + 1),
            token(&header, &json!([]), "x"),
            token(&header, &json!({ "iss": 7 }), "x"),
            token(&header, &json!({ "iss": "" }), "x"),
        ] {
            assert!(matches!(issuer(&text), Err(Refused::Forged(_))), "{text}");
        }
        let long = token(&header, &json!({ "iss": "x".repeat(1000) }), "x");
        assert!(issuer(&long).is_ok_and(|issuer| issuer.chars().count() == 61), "what is asked of the store is short");
    }
}
