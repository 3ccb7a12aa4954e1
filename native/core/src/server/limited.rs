//! What administrators ask of limits: which there are in one place, and what is used of them.

use serde_json::{Value, json};

use super::shared::Shared;
use crate::{
    keys::{KeyId, OPEN},
    limits::{Beyond, Earlier, Layered, Need, Period, Scope, Span, Use},
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
    let report = |policy: Layered<'_>| shared.limits.report(scope, policy, shared.limits.now(&shared.clock));
    let uses = with_policy(shared, scope, report).unwrap_or_default();
    Value::Array(uses.iter().map(one).collect()).to_string().into_bytes()
}

/// Scope, name, microseconds UTC by which it was used, requests, tokens, nano-dollars.
type Told = (String, String, u64, u64, u64, u64);

/// Counts what a JSON list of them says was used earlier.
pub(super) fn count_earlier(shared: &Shared, told: &[u8], beyond: &dyn Beyond) -> Result<(), String> {
    let told: Vec<Told> = serde_json::from_slice(told).map_err(|error| error.to_string())?;
    let all = told.iter().map(earlier).collect::<Result<Vec<_>, String>>()?;
    shared.limits.count_earlier(&all, beyond, shared.limits.now(&shared.clock));
    Ok(())
}

fn earlier((kind, name, until_us, requests, tokens, nanousd): &Told) -> Result<Earlier<'_>, String> {
    let used = Need { requests: *requests, tokens: *tokens, nanousd: *nanousd };
    Ok(Earlier { scope: scope(kind, name)?, used, until_us: *until_us })
}

/// Lets those who wait for slots know of limits that have changed.
pub(super) fn renew(shared: &Shared) {
    let amount = |policy: Layered<'_>| policy.slots().map_or(u32::MAX, |slots| slots.amount);
    shared.limits.renew(|scope| with_policy(shared, scope, amount));
}

/// Does something with the limits that a scope has now; `None`: it is not there.
pub(super) fn with_policy<T>(shared: &Shared, scope: Scope<'_>, then: impl FnOnce(Layered<'_>) -> T) -> Option<T> {
    let snapshot = shared.snapshot.load();
    let snapshot = snapshot.as_ref()?;
    let limits = &snapshot.limits;
    let default = limits.default.as_ref();
    let alone = |own| Layered { own, default: None };
    Some(match scope {
        Scope::Key(OPEN) => then(Layered { own: None, default }),
        Scope::Key(id) => {
            let row = shared.keys.row(KeyId::parse(id.as_bytes())?)?;
            then(Layered { own: row.limits.as_deref(), default })
        }
        Scope::Team(id) => then(alone(shared.keys.team(id)?.limits.as_deref())),
        Scope::Model(name) => then(alone(limits.models.get(name))),
        Scope::Provider(name) => {
            let at = snapshot.providers.iter().position(|provider| provider.name == name)?;
            then(alone(limits.providers.get(at)?.as_ref()))
        }
        Scope::Global => then(alone(limits.global.as_ref())),
    })
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
