//! The list of models: what the configuration names, and what providers behind wildcards say they have.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Principal, Stop,
    call::Call,
    endpoint::{Api, Endpoint},
    plan::unknown_model,
};
use crate::{
    dialects::Dialect,
    error::{Code, Failure, Retry},
    http::head::{HeadLimits, ResponseHead},
    relay::{Watched, source::Source, watch},
    route::Route,
    server::worker::{LocalSnapshot, Worker},
    snapshot::{Base, Snapshot},
};

const FRESH_US: u64 = 60_000_000;
/// A provider that failed is asked again after this.
const FAILED_US: u64 = 5_000_000;
const DEADLINE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 4 << 20;
const MAX_MODELS: usize = 10_000;
const MAX_NAME_BYTES: usize = 256;

/// A model as it is listed.
struct Listed {
    name: String,
    owner: String,
}

/// What providers listed, kept for a minute.
#[derive(Default)]
pub struct ModelLists(Mutex<HashMap<(String, Dialect), Cached>>);

impl ModelLists {
    /// Forgets what was listed: a new snapshot may ask other places.
    pub fn forget(&self) {
        self.0.lock().clear();
    }
}

#[derive(Clone)]
struct Cached {
    revision: u64,
    until_us: u64,
    names: Arc<Vec<String>>,
}

/// Answers a list of models, or one of them.
pub async fn serve(call: &mut Call<'_>, endpoint: &Endpoint<'_>, principal: &Principal) -> Result<(), Stop> {
    let snapshot = call.snapshot.clone();
    call.client.timer.set_at(None);
    let listing = list(call.worker, &snapshot, endpoint.dialect);
    let mut models = match watch(call.client, std::pin::pin!(listing)).await {
        Watched::Done(models) => models,
        Watched::Gone | Watched::Late => return Err(Stop::Gone),
    };
    models.retain(|m| principal.allows_model(&m.name));
    let body = match endpoint.rest().strip_prefix("/models/").filter(|_| endpoint.api == Api::Models) {
        None => all(endpoint.dialect, &models),
        Some(encoded) => {
            let name = percent_decoded(encoded);
            let named = models.iter().find(|m| m.name == name).map(|m| one(endpoint.dialect, m));
            let unlisted = || routed(&snapshot, endpoint.dialect, &name).filter(|_| principal.allows_model(&name));
            match named.or_else(unlisted) {
                Some(model) => model,
                None => return Err(unknown_model(&snapshot, &name, principal).into()),
            }
        }
    };
    call.json(200, body.to_string().as_bytes()).await
}

/// Everything that a client of `dialect` may ask for by name, sorted.
async fn list(worker: &Rc<Worker>, snapshot: &LocalSnapshot, dialect: Dialect) -> Vec<Listed> {
    let speaks = |p: usize| snapshot.providers[p].base(dialect).is_some();
    let mut models = Vec::new();
    for name in snapshot.routes.names() {
        let Some(Route::Model(model)) = snapshot.routes.find(&snapshot.providers, name) else { continue };
        if model.targets.iter().chain(&model.fallback).any(|t| speaks(t.provider)) {
            models.push(Listed { name: name.to_owned(), owner: "penstock".to_owned() });
        }
    }
    let mut asked = JoinSet::new();
    for (index, provider) in snapshot.providers.iter().enumerate() {
        // One that is asked with the credential of each client has no list that all may see.
        let is_common = provider.lists_models && !provider.client_credentials;
        if is_common && speaks(index) && snapshot.routes.is_open_ended(index) {
            let (worker, snapshot) = (worker.clone(), snapshot.clone());
            asked.spawn_local(async move { (index, listed(&worker, &snapshot, index, dialect).await) });
        }
    }
    while let Some(Ok((index, ids))) = asked.join_next().await {
        let provider = &snapshot.providers[index];
        for id in ids.iter() {
            let direct = match snapshot.routes.find(&snapshot.providers, id) {
                Some(Route::Direct { provider, .. }) => provider == index,
                Some(Route::Model(model)) => model.targets.iter().any(|t| t.provider == index),
                None => false,
            };
            let name = if direct { id.clone() } else { format!("{}/{id}", provider.name) };
            models.push(Listed { name, owner: provider.name.clone() });
        }
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models.dedup_by(|a, b| a.name == b.name);
    models
}

/// What a provider lists, from the cache or from itself. A provider that fails lists what it listed last.
async fn listed(worker: &Rc<Worker>, snapshot: &Snapshot, index: usize, dialect: Dialect) -> Arc<Vec<String>> {
    let provider = &snapshot.providers[index];
    let now_us = worker.clock().boot_us();
    let key = (provider.name.clone(), dialect);
    let known = worker.shared.models.0.lock().get(&key).cloned();
    if let Some(known) = &known
        && known.revision == snapshot.revision
        && now_us < known.until_us
    {
        return known.names.clone();
    }
    let Some(base) = provider.base(dialect) else { return Arc::default() };
    let asked = tokio::time::timeout(DEADLINE, ask(worker, base, &provider.query, dialect)).await;
    let (names, until_us) = match asked {
        Ok(Ok(names)) => (Arc::new(names), now_us + FRESH_US),
        _ => (known.map(|k| k.names).unwrap_or_default(), now_us + FAILED_US),
    };
    let cached = Cached { revision: snapshot.revision, until_us, names: names.clone() };
    worker.shared.models.0.lock().insert(key, cached);
    names
}

/// Asks a provider for its models, once more on a fresh connection if a reused one was dead.
async fn ask(worker: &Rc<Worker>, base: &Base, query: &str, dialect: Dialect) -> Result<Vec<String>, Failure> {
    match ask_once(worker, base, query, dialect, false).await {
        Err(f) if f.retry == Retry::ReusedOnly => ask_once(worker, base, query, dialect, true).await,
        result => result,
    }
}

async fn ask_once(
    worker: &Rc<Worker>,
    base: &Base,
    query: &str,
    dialect: Dialect,
    fresh: bool,
) -> Result<Vec<String>, Failure> {
    let (path, fields) = match dialect {
        Dialect::OpenAi => ("/models", ""),
        Dialect::Anthropic => ("/v1/models?limit=1000", "anthropic-version: 2023-06-01\r\n"),
        Dialect::Ollama => ("/api/tags", ""),
    };
    let mut lease = worker.pool.connect(&base.host, fresh, 0).await?;
    let join = if query.is_empty() {
        ""
    } else if path.contains('?') {
        "&"
    } else {
        "?"
    };
    let line = format!("GET {}{path}{join}{query} HTTP/1.1\r\n", base.target_prefix);
    let tail = format!("{fields}accept: application/json\r\naccept-encoding: identity\r\n\r\n");
    let broken = |reused: bool| {
        let retry = if reused { Retry::ReusedOnly } else { Retry::Yes };
        Failure::new(Code::UpstreamCut, retry, "the list of models did not come")
    };
    if lease.write(&[line.as_bytes(), &base.head, tail.as_bytes()]).await.is_err() {
        return Err(broken(lease.reused()));
    }
    let mut head = ResponseHead::default();
    if lease.response_head(&mut head, &HeadLimits::default(), false).await.is_err() {
        return Err(broken(lease.reused()));
    }
    let mut source = Source::new(lease, &head, true)?;
    let mut body = Vec::new();
    while source.more().await? {
        body.extend_from_slice(source.payload());
        let here = source.payload().len();
        source.consume(here);
        if body.len() > MAX_BYTES {
            return Err(broken(false));
        }
    }
    source.keep();
    if head.status != 200 {
        return Err(broken(false));
    }
    let page: Value = serde_json::from_slice(&body).map_err(|_| broken(false))?;
    let (list, key) = if dialect == Dialect::Ollama { (&page["models"], "name") } else { (&page["data"], "id") };
    let names = list.as_array().into_iter().flatten().filter_map(|m| m[key].as_str());
    Ok(names.filter(|n| n.len() <= MAX_NAME_BYTES).take(MAX_MODELS).map(str::to_owned).collect())
}

/// A model that is not listed and can be asked for all the same.
fn routed(snapshot: &Snapshot, dialect: Dialect, name: &str) -> Option<Value> {
    let route = snapshot.routes.find(&snapshot.providers, name)?;
    let speaks = |p: usize| snapshot.providers[p].base(dialect).is_some();
    let owner = match route {
        Route::Direct { provider, .. } => speaks(provider).then(|| snapshot.providers[provider].name.clone()),
        Route::Model(model) => model.targets.iter().any(|t| speaks(t.provider)).then(|| "penstock".to_owned()),
    };
    Some(one(dialect, &Listed { name: name.to_owned(), owner: owner? }))
}

fn one(dialect: Dialect, model: &Listed) -> Value {
    let name = &model.name;
    match dialect {
        Dialect::OpenAi => json!({"id": name, "object": "model", "created": 0, "owned_by": model.owner}),
        Dialect::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
        }
        Dialect::Ollama => json!({
            "name": name, "model": name, "modified_at": "1970-01-01T00:00:00Z", "size": 0, "digest": "",
            "details": {"format": "", "family": "", "families": [], "parameter_size": "", "quantization_level": ""},
        }),
    }
}

fn all(dialect: Dialect, models: &[Listed]) -> Value {
    let list: Vec<Value> = models.iter().map(|m| one(dialect, m)).collect();
    match dialect {
        Dialect::OpenAi => json!({"object": "list", "data": list}),
        Dialect::Anthropic => json!({
            "data": list, "has_more": false,
            "first_id": models.first().map(|m| &m.name), "last_id": models.last().map(|m| &m.name),
        }),
        Dialect::Ollama => json!({"models": list}),
    }
}

/// `%2F` and the like turned back; what is no valid escape stays.
pub fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(at + i).and_then(|b| char::from(*b).to_digit(16));
        let escaped = digit(1).zip(digit(2)).filter(|_| bytes[at] == b'%').map(|(high, low)| (high * 16 + low) as u8);
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
