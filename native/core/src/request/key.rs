//! `GET /v1/key`: what the key that asks may do.

use serde_json::{Value, json};

use super::{Principal, Stop, call::Call};
use crate::{clock::write_utc, keys::access::Lists};

/// Answers with the key's id, team, end, and the lists that bound it: each has to allow what is asked.
pub async fn serve(call: &mut Call<'_>, principal: &Principal) -> Result<(), Stop> {
    let body = describe(principal);
    call.json(200, body.to_string().as_bytes()).await
}

fn describe(principal: &Principal) -> Value {
    let Principal::Key { row, team } = principal else { return json!({"id": "open"}) };
    let lists = |of: fn(&Lists) -> Option<&[Box<str>]>| {
        let lists: Vec<_> = principal.access().filter_map(|access| of(access.lists())).collect();
        if lists.is_empty() { Value::Null } else { json!(lists) }
    };
    json!({
        "id": row.id.as_str(),
        "team": team.as_ref().map(|team| json!({"id": team.id, "name": team.name})),
        "state": "active", // any other would not have come this far
        "expires": row.expires_us().map(|us| {
            let mut text = Vec::new();
            write_utc(us, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }),
        "allowed": {
            "models": lists(|lists| lists.models.as_deref()),
            "paths": lists(|lists| lists.paths.as_deref()),
            "networks": lists(|lists| lists.networks.as_deref()),
        },
    })
}
