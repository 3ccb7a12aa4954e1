//! The secrets of a configuration, so that they can be found in texts that are recorded.

use super::{
    document::{Part, Provider},
    secret::resolve,
};
use crate::request::credential::is_credential;

/// Names of headers and of members of a query whose values are secret have one of these words in them.
const SECRET: [&str; 8] = ["key", "apikey", "token", "auth", "authorization", "secret", "signature", "sig"];

/// What providers are asked with: their keys, and whatever else came by reference into headers and queries, or has the name
/// of a secret there.
pub(super) fn secrets(providers: &[Provider]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for provider in providers {
        let named = |e| format!("provider {}: {e}", provider.name);
        let keys = provider.dialects.values().filter_map(|base| Some(&base.auth.as_ref()?.secret));
        let proxies = provider.proxy.iter().filter_map(|proxy| proxy.authorization.as_ref());
        let headers = provider.headers.iter().filter(|(name, _)| is_credential(name.as_bytes()) || is_secret(name));
        for whole in keys.chain(proxies).chain(headers.map(|(_, parts)| parts)) {
            let text = resolve(whole).map_err(named)?;
            // Behind the scheme, if there is one.
            found.extend(text.split_ascii_whitespace().last().map(str::to_owned));
        }
        let query = resolve(&provider.query).map_err(named)?;
        let members = query.split('&').filter_map(|member| member.split_once('='));
        found.extend(members.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_owned()));
        for part in provider.headers.iter().flat_map(|(_, parts)| parts).chain(&provider.query) {
            if !matches!(part, Part::Text { .. }) {
                found.push(resolve(std::slice::from_ref(part)).map_err(named)?);
            }
        }
    }
    Ok(found)
}

fn is_secret(name: &str) -> bool {
    name.split(['-', '_']).any(|word| SECRET.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}
