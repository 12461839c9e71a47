//! `/_acc/accounts`: accounts below the own.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tandem_store::{Application, NewApplication};

use super::{Failed, admit, body, done};
use crate::credentials::{Refused, Service};
use crate::http::asked::Asked;

/// The rest of what comes is about people, and not kept.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    k: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Which {
    k: Option<String>,
}

pub(super) async fn create(
    State(service): State<Service>,
    asked: Asked,
    content: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Failed> {
    let above = admit(&service, &asked).await?;
    let Wanted { k } = body(content)?;
    let name = k.ok_or_else(|| Refused::Malformed("k: expected the name of the account".to_owned()))?;
    let new = NewApplication { name, parent: Some(above.id), ..NewApplication::default() };
    let made = service.create(&new).await?;
    let mut account = shown(&made.application);
    if let Some(account) = account.as_object_mut() {
        account.insert("secret".to_owned(), json!(made.text));
    }
    Ok(done(account))
}

pub(super) async fn list(
    State(service): State<Service>,
    asked: Asked,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let above = admit(&service, &asked).await?;
    match which(query)? {
        Some(name) => Ok(done(shown(&below(&service, &above, &name).await?))),
        None => {
            let all = service.store().applications().await.map_err(Refused::from)?;
            let mine = all.into_iter().filter(|application| application.parent.as_deref() == Some(&above.id));
            Ok(done(mine.map(|application| json!(application.name)).collect()))
        }
    }
}

pub(super) async fn remove(
    State(service): State<Service>,
    asked: Asked,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Failed> {
    let above = admit(&service, &asked).await?;
    let name = which(query)?.ok_or_else(|| Refused::Malformed("k: expected the name of the account".to_owned()))?;
    let found = below(&service, &above, &name).await?;
    service.remove(&found.id).await?;
    Ok(done(json!(1)))
}

fn which(query: Result<Query<Which>, QueryRejection>) -> Result<Option<String>, Refused> {
    query.map(|Query(Which { k })| k).map_err(|error| Refused::Malformed(error.body_text()))
}

/// Also while it is disabled.
async fn below(service: &Service, above: &Application, name: &str) -> Result<Application, Refused> {
    service.store().application_below(&above.id, name).await?.ok_or(Refused::NotYours)
}

fn shown(application: &Application) -> Value {
    json!({
        "username": application.name, "id": application.id, "created": application.created_at / 1000,
        "active": application.enabled,
    })
}
