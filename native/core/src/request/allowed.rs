//! Whether whoever asks may use the models that a request names.

use super::{
    authenticate::Principal,
    endpoint::{Endpoint, Form},
    scan::Scan,
};
use crate::error::{Code, Error};

/// The fields of [`Scan::others`].
const OTHERS: [&str; 2] = ["fallbacks", "models"];
/// More JSON than this is not read for them.
const OTHERS_BYTES: usize = 16 * 1024;

/// Refuses a model that the key, or its team, may not ask for.
pub fn allow(principal: &Principal, endpoint: &Endpoint<'_>, model: Option<&str>) -> Result<(), Error> {
    let message = match model {
        Some(model) if principal.allows_model(model) => return Ok(()),
        Some(model) => {
            format!("This API key may not use the model {model}; GET /v1/models lists those that it may.")
        }
        // What is in a body that is not ours to read is bounded by the key's paths.
        None if endpoint.form == Form::Opaque || !principal.is_bound_to_models() => return Ok(()),
        None => "This API key may use certain models only, and the request names none.".to_owned(),
    };
    Err(Error::new(Code::ModelNotAllowed, message).at("model"))
}

/// One of the models that a provider may turn to.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Other {
    Name(String),
    Of { model: String },
}

/// Refuses a model that the provider might turn to instead, where the key or its team may not ask for it: neither by that
/// name, nor behind what stands before the slash in the name that is asked for.
pub fn allow_others(principal: &Principal, scan: &Scan<'_>, body: &[u8], model: Option<&str>) -> Result<(), Error> {
    if !principal.is_bound_to_models() {
        return Ok(());
    }
    let provider = model.and_then(|model| model.split_once('/')).map(|(provider, _)| provider);
    let allows = |name: &str| {
        principal.allows_model(name) || provider.is_some_and(|p| principal.allows_model(&format!("{p}/{name}")))
    };
    for (field, span) in OTHERS.into_iter().zip(&scan.others) {
        let Some(span) = span else { continue };
        let json = Some(&body[span.clone()]).filter(|json| json.len() <= OTHERS_BYTES);
        let Some(others) = json.and_then(|json| serde_json::from_slice::<Vec<Other>>(json).ok()) else {
            let message = format!(
                "This API key may use certain models only, and which ones \"{field}\" names cannot be told; send a short \
                 list of names, or of objects with a \"model\"."
            );
            return Err(Error::new(Code::ModelNotAllowed, message).at(field));
        };
        let mut names = others.into_iter().map(|other| match other {
            Other::Name(name) | Other::Of { model: name } => name,
        });
        if let Some(name) = names.find(|name| !allows(name)) {
            let shown: String = name.chars().take(512).collect();
            let message = format!("This API key may not use the model {shown}, which \"{field}\" names; leave it out.");
            return Err(Error::new(Code::ModelNotAllowed, message).at(field));
        }
    }
    Ok(())
}
