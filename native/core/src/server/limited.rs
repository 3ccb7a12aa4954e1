//! What administrators ask of limits: which there are in one place, and what is used of them.

use serde_json::{Value, json};

use super::shared::Shared;
use crate::{
    keys::{KeyId, OPEN},
    limits::{Layered, Now, Period, Policy, Scope, Span, Use},
};

/// The scope of these words.
pub(super) fn scope<'a>(kind: &str, name: &'a str) -> Result<Scope<'a>, String> {
    Ok(match kind {
        "key" => Scope::Key(name),
        "team" => Scope::Team(name),
        "model" => Scope::Model(name),
        "provider" => Scope::Provider(name),
        "global" => Scope::Global,
        _ => return Err(format!("limits: {kind:?} is no scope")),
    })
}

/// A JSON list of what is used of each limit of a scope; empty where nothing is limited.
pub(super) fn report(shared: &Shared, scope: Scope<'_>) -> Vec<u8> {
    let snapshot = shared.snapshot.load();
    let limits = snapshot.as_ref().map(|snapshot| &snapshot.limits);
    let report = |own: Option<&Policy>, default: Option<&Policy>| {
        let uses = shared.limits.report(scope, Layered { own, default }, Now::of(&shared.clock));
        Value::Array(uses.iter().map(one).collect()).to_string().into_bytes()
    };
    let default = limits.and_then(|limits| limits.default.as_ref());
    match scope {
        Scope::Key(OPEN) => report(None, default),
        Scope::Key(id) => match KeyId::parse(id.as_bytes()).and_then(|id| shared.keys.row(id)) {
            Some(row) => report(row.limits.as_deref(), default),
            None => report(None, None),
        },
        Scope::Team(id) => report(shared.keys.team(id).and_then(|team| team.limits.clone()).as_deref(), None),
        Scope::Model(name) => report(limits.and_then(|limits| limits.models.get(name)), None),
        Scope::Provider(name) => {
            let at = snapshot.as_ref().and_then(|snapshot| snapshot.providers.iter().position(|p| p.name == name));
            report(at.and_then(|at| limits?.providers.get(at)?.as_ref()), None)
        }
        Scope::Global => report(limits.and_then(|limits| limits.global.as_ref()), None),
    }
}

fn one(of: &Use) -> Value {
    let mut value = json!({"kind": of.kind.name(), "amount": of.amount, "used": of.used, "reset_us": of.reset_us});
    match of.span {
        Span::Window(us) => value["window_us"] = us.into(),
        Span::Period(Period::Day) => value["period"] = "day".into(),
        Span::Period(Period::Month) => value["period"] = "month".into(),
        Span::AtOnce => {}
    }
    value
}
