//! Whether whoever asks may use the models that a request names.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    authenticate::Principal,
    endpoint::{Endpoint, Form},
    scan::Scan,
};
use crate::error::{Code, Error};

/// The fields of [`Scan::others`].
const OTHERS: [&str; 4] = ["fallbacks", "models", "tools", "plugins"];

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

/// Refuses a model that the provider might turn to beside or instead, where the key or its team may not ask for it: neither
/// by that name, nor behind what stands before the slash in the name that is asked for.
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
        let mut look = Look {
            are_tools: matches!(field, "tools" | "plugins"),
            allows: &allows,
            refused: None,
            is_unclear: false,
            is_inner: false,
        };
        let read =
            At(Place::List, &mut look).deserialize(&mut serde_json::Deserializer::from_slice(&body[span.clone()]));
        let message = match look.refused {
            Some(name) => {
                format!("This API key may not use the model {name}, which \"{field}\" names; leave it out.")
            }
            None if read.is_err() || look.is_unclear => format!(
                "This API key may use certain models only, and which ones \"{field}\" names cannot be told; send a list of \
                 names, or of objects with a \"model\"."
            ),
            None => continue,
        };
        return Err(Error::new(Code::ModelNotAllowed, message).at(field));
    }
    Ok(())
}

/// A look for names of models.
struct Look<'a> {
    /// Most of them name none.
    are_tools: bool,
    allows: &'a dyn Fn(&str) -> bool,
    refused: Option<String>,
    is_unclear: bool,
    /// What is read stands in the parameters of a tool.
    is_inner: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    List,
    /// A name, or an object that has one.
    Entry,
    /// What a tool is told: names may be in it too.
    Parameters,
    /// A list of names.
    Names,
    Name,
}

/// A value that stands at a place.
struct At<'a, 'b>(Place, &'a mut Look<'b>);

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("models")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        match self.0 {
            Place::Entry if self.1.are_tools => {}
            Place::Name | Place::Entry if !(self.1.allows)(name) => {
                self.1.refused.get_or_insert_with(|| name.chars().take(512).collect());
            }
            Place::Name | Place::Entry => {}
            Place::Names => self.1.is_unclear = true,
            Place::List | Place::Parameters => self.1.is_unclear |= !self.1.are_tools,
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(place, look) = self;
        let element = match place {
            Place::List => Place::Entry,
            Place::Names => Place::Name,
            Place::Entry | Place::Parameters | Place::Name => {
                look.is_unclear |= !look.are_tools || place == Place::Name;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(());
            }
        };
        while list.next_element_seed(At(element, look))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self(place, look) = self;
        let is_inner = look.is_inner;
        let is_read = matches!(place, Place::Entry | Place::Parameters);
        let mut has_name = false;
        while let Some(field) = object.next_key::<String>()? {
            look.is_inner = place == Place::Parameters;
            match field.as_str() {
                _ if place == Place::List && look.are_tools => object.next_value_seed(At(Place::Entry, look))?,
                "model" if is_read => {
                    has_name = true;
                    object.next_value_seed(At(Place::Name, look))?;
                }
                "parameters" if place == Place::Entry && look.are_tools => {
                    object.next_value_seed(At(Place::Parameters, look))?;
                }
                // As `analysis_models`, who answer side by side.
                names if is_read && look.are_tools && (names == "models" || names.ends_with("_models")) => {
                    object.next_value_seed(At(Place::Names, look))?;
                }
                _ => _ = object.next_value::<IgnoredAny>()?,
            }
        }
        look.is_unclear |= match place {
            Place::List => !look.are_tools,
            Place::Entry | Place::Parameters => !look.are_tools && !has_name,
            // What a function takes may be described where its parameters would be: that names none.
            Place::Names | Place::Name => !is_inner,
        };
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.other()
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.other()
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.other()
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.other()
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.1.is_unclear |= !self.1.are_tools;
        Ok(())
    }
}

impl At<'_, '_> {
    #[allow(clippy::unnecessary_wraps, reason = "as a visitor answers")]
    fn other<E>(self) -> Result<(), E> {
        self.1.is_unclear |= !self.1.are_tools || self.0 == Place::Name;
        Ok(())
    }
}
