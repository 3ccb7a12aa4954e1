//! `GET /v1/key`: what the key that asks may do, what it has used of its limits, and what it has spent.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Principal, Stop,
    admit::{key_scope, team_scope},
    call::Call,
    limit_text::written,
};
use crate::{
    clock::write_utc,
    keys::{OPEN, access::Lists},
    limits::{Kind, Layered, Policy, Scope},
    questions,
};

/// How long the answer waits for what was spent.
const DEADLINE: Duration = Duration::from_secs(1);

/// Answers with the key's id, team, end, the lists that bound it (each has to allow what is asked), the limits of the
/// key and of its team, what it has spent, and whether texts of its requests are recorded.
pub async fn serve(call: &mut Call<'_>, principal: &Principal) -> Result<(), Stop> {
    let mut body = describe(principal);
    let texts = call.snapshot.content.as_ref().filter(|_| call.worker.shared.journal().is_some());
    body["content"] = (texts.is_some() && principal.keeps_content()).into();
    body["limits"] = limits(call, principal);
    body["spend"] = spend(call, principal).await;
    call.json(200, body.to_string().as_bytes()).await
}

/// What is used of each limit, and where it comes from.
fn limits(call: &Call<'_>, principal: &Principal) -> Value {
    let now = call.worker.shared.limits.now(call.worker.clock());
    let key = key_scope(principal, &call.snapshot);
    let scopes = [Some(key), team_scope(principal)];
    let all = scopes.into_iter().flatten().flat_map(|(scope, policy)| {
        let uses = call.worker.shared.limits.report(scope, policy, now);
        uses.into_iter().map(move |of| {
            json!({
                "kind": of.kind.name(),
                "limit": written(of.kind, of.amount, of.span),
                "used": of.used,
                "remaining": of.amount.saturating_sub(of.used),
                "reset_ms": of.reset_us.div_ceil(1_000),
                "from": from(scope, policy, of.kind),
            })
        })
    });
    Value::Array(all.collect())
}

/// Where a limit of this kind is set.
fn from(scope: Scope<'_>, policy: Layered<'_>, kind: Kind) -> &'static str {
    let sets = |own: &Policy| match kind {
        Kind::Concurrent => own.concurrent.is_some(),
        Kind::Requests => own.requests.is_some(),
        Kind::Tokens => own.tokens.is_some(),
        Kind::Budget => own.budget.is_some(),
    };
    if policy.own.is_some_and(sets) { scope.kind_name() } else { "default" }
}

/// What the key has spent, as Python tells it; `null` where that is not known in time, or nothing is recorded.
async fn spend(call: &Call<'_>, principal: &Principal) -> Value {
    let Principal::Key { row, .. } = principal else { return Value::Null };
    let shared = &call.worker.shared;
    if shared.journal().is_none() {
        return Value::Null;
    }
    let asked = json!({"key": row.id.as_str()}).to_string();
    let answer = shared.questions.ask(questions::Kind::Spend, asked.into_bytes(), DEADLINE).await;
    answer.ok().and_then(|answer| serde_json::from_slice(&answer).ok()).unwrap_or_default()
}

fn describe(principal: &Principal) -> Value {
    let Principal::Key { row, team } = principal else { return json!({"id": OPEN}) };
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
