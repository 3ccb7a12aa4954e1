//! Which targets may answer a request, in which order: the route phase.

use std::cmp::Reverse;

use super::{
    Principal,
    credential::no_own,
    endpoint::{Api, Endpoint, Form, is_organization, is_stored},
};
use crate::{
    error::{Code, Error},
    route::{self, Attempt, Route},
    server::worker::Worker,
    snapshot::{Overrides, Provider, Snapshot},
    tokens::Encoding,
};

/// The targets of a request and the limits of its model, where it has its own.
pub struct Plan<'a> {
    pub attempts: Vec<Attempt<'a>>,
    pub timeouts: Overrides,
    /// The configured name that led to them.
    pub model: Option<&'a str>,
    /// The most that the model answers where a request does not say.
    pub max_output_tokens: Option<u64>,
}

/// What the head of a request asks for, and who sent it.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub endpoint: &'a Endpoint<'a>,
    pub method: &'a str,
    pub query: &'a str,
    /// The provider that `x-penstock-provider` names.
    pub provider: Option<&'a str>,
    pub principal: &'a Principal,
}

impl<'a> Plan<'a> {
    /// Of targets that no configured model names.
    fn of(attempts: Vec<Attempt<'a>>) -> Self {
        Self { attempts, timeouts: Overrides::default(), model: None, max_output_tokens: None }
    }
}

/// Targets for `model`, or for the provider that the client named, or for the default one. `has_own`: the client sent a
/// credential of its own.
pub fn plan<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    wanted: &Wanted<'_>,
    model: Option<&'a str>,
    has_own: bool,
) -> Result<Plan<'a>, Error> {
    let Some(model) = model else { return without_model(snapshot, wanted, has_own) };
    let Some(route) = snapshot.routes.find(&snapshot.providers, model) else {
        return Err(unknown_model(snapshot, model, wanted.principal));
    };
    let endpoint = wanted.endpoint;
    let speaks = |p: usize| answers(&snapshot.providers[p], endpoint);
    let is_down = |p: usize| snapshot.providers[p].base(endpoint.dialect).is_some_and(|b| b.host.failed_recently());
    let mut rng = worker.rng.borrow_mut();
    let can = |p: usize| speaks(p) && (has_own || !snapshot.providers[p].client_credentials);
    let mut attempts = route::order(&route, model, &mut rng, can, is_down);
    if attempts.is_empty() {
        if !route::order(&route, model, &mut rng, speaks, is_down).is_empty() {
            return Err(no_own());
        }
        let message = format!(
            "No target of the model {model} speaks the {} dialect; ask for it through another SDK or add a target that does.",
            endpoint.dialect.name()
        );
        return Err(Error::new(Code::DialectNotSupported, message).at("model"));
    }
    // The client's credential is for one provider: where that one fails, no other is shown it.
    let mut first = None;
    attempts.retain(|a| {
        !snapshot.providers[a.provider].client_credentials || *first.get_or_insert(a.provider) == a.provider
    });
    Ok(match route {
        Route::Model(m) => {
            Plan { attempts, timeouts: m.timeouts, model: Some(&m.name), max_output_tokens: m.max_output_tokens }
        }
        Route::Direct { .. } => Plan::of(attempts),
    })
}

/// Where a name leads that no upstream is asked about: a plan without targets, and the model that would be asked first,
/// by its provider's name of it. The encodings are known by their own names.
pub fn unasked<'a>(
    snapshot: &'a Snapshot,
    model: &'a str,
    principal: &Principal,
) -> Result<(Plan<'a>, &'a str), Error> {
    Ok(match snapshot.routes.find(&snapshot.providers, model) {
        Some(Route::Model(of)) => {
            let likeliest = of.targets.iter().min_by_key(|target| Reverse(target.weight)).or(of.fallback.first());
            let plan = Plan { model: Some(&of.name), ..Plan::of(Vec::new()) };
            (plan, likeliest.and_then(|target| target.model.as_deref()).unwrap_or(model))
        }
        Some(Route::Direct { model, .. }) => (Plan::of(Vec::new()), model),
        None if Encoding::NAMES.contains(&model) => (Plan::of(Vec::new()), model),
        None => return Err(unknown_model(snapshot, model, principal)),
    })
}

/// Whether a provider has what is asked for.
fn answers(provider: &Provider, endpoint: &Endpoint<'_>) -> bool {
    let has_path = endpoint.api != Api::CountTokens || provider.supports_count_tokens;
    has_path && provider.base(endpoint.dialect).is_some()
}

/// Whether a name leads to targets of which none has what is asked for.
pub fn leads_past(snapshot: &Snapshot, model: &str, endpoint: &Endpoint<'_>) -> bool {
    let speaks = |p: usize| answers(&snapshot.providers[p], endpoint);
    match snapshot.routes.find(&snapshot.providers, model) {
        Some(Route::Model(of)) => !of.targets.iter().chain(&of.fallback).any(|target| speaks(target.provider)),
        Some(Route::Direct { provider, .. }) => !speaks(provider),
        None => false,
    }
}

fn without_model<'a>(snapshot: &'a Snapshot, wanted: &Wanted<'_>, has_own: bool) -> Result<Plan<'a>, Error> {
    let endpoint = wanted.endpoint;
    let provider = if let Some(name) = wanted.provider {
        let unknown = || {
            let message = format!("x-penstock-provider names {name}, which is not configured.");
            Error::new(Code::InvalidRequest, message).at("x-penstock-provider")
        };
        Some(snapshot.provider(name).ok_or_else(unknown)?.0)
    } else {
        snapshot.default_provider
    };
    let rest = endpoint.rest();
    let is_open = |p: &usize| endpoint.form == Form::Model || snapshot.providers[*p].opens(rest);
    match provider.filter(is_open) {
        Some(p) if snapshot.providers[p].client_credentials && !has_own => Err(no_own()),
        Some(p) if snapshot.providers[p].base(endpoint.dialect).is_some() => Ok(Plan::of(vec![Attempt::new(p, "")])),
        Some(p) => {
            let message =
                format!("{} does not speak the {} dialect.", snapshot.providers[p].name, endpoint.dialect.name());
            Err(Error::new(Code::DialectNotSupported, message))
        }
        None if endpoint.form == Form::Model => {
            let message = "This path needs a model, x-penstock-provider, or a default_provider in the configuration.";
            Err(Error::new(Code::InvalidRequest, message).at("model"))
        }
        None if is_organization(rest) => {
            let message = format!("{rest} administers the provider's account and is never relayed.");
            Err(Error::new(Code::PathClosed, message))
        }
        None if is_stored(rest) => {
            let message = format!(
                "{rest} names stored objects, which tenants must not share; a provider's `passthrough` can open it."
            );
            Err(Error::new(Code::PathClosed, message))
        }
        None => Err(Error::new(Code::PathNotFound, format!("{rest} is not served."))),
    }
}

/// So many names are compared with one that does not exist.
const COMPARED: usize = 1_000;

/// 404 naming what may have been meant, of what the caller may ask for.
pub fn unknown_model(snapshot: &Snapshot, model: &str, principal: &Principal) -> Error {
    let names = snapshot.routes.names();
    let near = route::similar(model, names.iter().copied().filter(|n| principal.allows_model(n)).take(COMPARED));
    let shown: String = model.chars().take(200).collect();
    let hint = match near.as_slice() {
        [] => "GET /v1/models lists what can be asked for.".to_owned(),
        near => format!("Did you mean {}? GET /v1/models lists all.", near.join(" or ")),
    };
    Error::new(Code::ModelNotFound, format!("The model {shown} does not exist here. {hint}")).at("model")
}
