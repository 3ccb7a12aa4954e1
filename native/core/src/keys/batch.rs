//! The JSON document of rows that Python puts: field for field what `policy/key_table.py` writes, nothing more.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::{
    access::{Access, Lists},
    digest::Digest,
    format::KeyId,
    row::Secret,
    tags::Tags,
};
use crate::limits::Policy;

/// The shape that this build reads; a document of another shape is refused.
pub const FORMAT: u32 = 4;
const MAX_TEAM_ID_BYTES: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    format: u32,
    #[serde(borrow)]
    access: Vec<AccessDocument<'a>>,
    limits: Vec<Policy>,
    #[serde(borrow)]
    tags: Vec<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    #[serde(borrow)]
    teams: Vec<TeamDocument<'a>>,
    #[serde(borrow)]
    keys: Vec<KeyDocument<'a>>,
    #[serde(borrow)]
    digests: Vec<DigestDocument<'a>>,
    reset: bool,
    settled: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessDocument<'a> {
    #[serde(borrow)]
    models: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    paths: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    networks: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TeamDocument<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    version: u64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    state: StateDocument,
    access: usize,
    #[serde(deserialize_with = "given")]
    limits: Option<usize>,
    #[serde(deserialize_with = "given")]
    tags: Option<usize>,
    content: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    version: u64,
    state: StateDocument,
    #[serde(borrow)]
    team: Option<Cow<'a, str>>,
    access: usize,
    #[serde(deserialize_with = "given")]
    limits: Option<usize>,
    #[serde(deserialize_with = "given")]
    tags: Option<usize>,
    content: bool,
    expires_us: Option<u64>,
    cut_us: Option<u64>,
    #[serde(borrow)]
    secrets: Vec<SecretDocument<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretDocument<'a> {
    generation: u32,
    until_us: Option<u64>,
    #[serde(borrow)]
    digest: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestDocument<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    generation: u32,
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum StateDocument {
    Active,
    Disabled,
    Deleted,
}

/// What becomes of a row: it is gone, or this is what it says.
#[derive(Debug)]
pub(super) struct Change<Id, Row> {
    pub id: Id,
    pub version: u64,
    pub row: Option<Row>,
}

#[derive(Debug)]
pub(super) struct Team {
    pub name: Box<str>,
    pub disabled: bool,
    /// Indexes into the batch's lists.
    pub access: usize,
    pub limits: Option<usize>,
    pub tags: Option<usize>,
    pub keeps_content: bool,
}

#[derive(Debug)]
pub(super) struct Key {
    pub disabled: bool,
    pub team: Option<Box<str>>,
    pub access: usize,
    pub limits: Option<usize>,
    pub tags: Option<usize>,
    pub keeps_content: bool,
    pub expires_us: Option<u64>,
    pub cut_us: Option<u64>,
    pub secrets: Vec<Secret>,
}

/// A batch that has been read and found sound: putting it cannot fail any more.
#[derive(Debug)]
pub struct Batch {
    pub(super) access: Vec<Access>,
    pub(super) limits: Vec<Policy>,
    pub(super) tags: Vec<Tags>,
    pub(super) teams: Vec<Change<Box<str>, Team>>,
    pub(super) keys: Vec<Change<KeyId, Key>>,
    pub(super) digests: Vec<(KeyId, u32, Digest)>,
    pub(super) reset: bool,
    pub(super) settled: u64,
}

impl Batch {
    /// Reads a batch whole; the error names the field at fault and never holds a digest.
    pub fn decode(json: &[u8]) -> Result<Self, String> {
        let document: Document<'_> = serde_json::from_slice(json).map_err(|e| crate::json::shape_error("keys", &e))?;
        if document.format != FORMAT {
            return Err(format!("keys: format {} is not {FORMAT}", document.format));
        }
        let access = document.access.into_iter().map(access).collect::<Result<Vec<_>, _>>()?;
        for policy in &document.limits {
            policy.check().map_err(|e| format!("keys: limits: {e}"))?;
        }
        let lists = Known { access: access.len(), limits: document.limits.len(), tags: document.tags.len() };
        Ok(Self {
            access,
            limits: document.limits,
            tags: document.tags.iter().map(|pairs| Tags::new(pairs)).collect(),
            teams: document.teams.into_iter().map(|t| team(t, lists)).collect::<Result<_, _>>()?,
            keys: document.keys.iter().map(|k| key(k, lists)).collect::<Result<_, _>>()?,
            digests: document.digests.iter().map(digest).collect::<Result<_, _>>()?,
            reset: document.reset,
            settled: document.settled,
        })
    }
}

/// How long the lists are into which rows point.
#[derive(Clone, Copy)]
struct Known {
    access: usize,
    limits: usize,
    tags: usize,
}

impl Known {
    fn access(self, at: usize, what: &str, id: &str) -> Result<usize, String> {
        if at < self.access { Ok(at) } else { Err(format!("keys: {what} {id}: there is no access {at}")) }
    }

    fn limits(self, at: Option<usize>, what: &str, id: &str) -> Result<Option<usize>, String> {
        match at {
            Some(at) if at >= self.limits => Err(format!("keys: {what} {id}: there are no limits {at}")),
            _ => Ok(at),
        }
    }

    fn tags(self, at: Option<usize>, what: &str, id: &str) -> Result<Option<usize>, String> {
        match at {
            Some(at) if at >= self.tags => Err(format!("keys: {what} {id}: there are no tags {at}")),
            _ => Ok(at),
        }
    }
}

/// Null is an answer, a missing field is not.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Option::deserialize(deserializer)
}

fn access(document: AccessDocument<'_>) -> Result<Access, String> {
    let list = |texts: Option<Vec<Cow<'_, str>>>| texts.map(|texts| texts.into_iter().map(Into::into).collect());
    let lists = Lists { models: list(document.models), paths: list(document.paths), networks: list(document.networks) };
    Access::new(lists).map_err(|e| format!("keys: {e}"))
}

fn team(document: TeamDocument<'_>, lists: Known) -> Result<Change<Box<str>, Team>, String> {
    let id = team_id(&document.id)?;
    let gone = document.state == StateDocument::Deleted;
    let row = Team {
        name: document.name.into(),
        disabled: document.state == StateDocument::Disabled,
        access: if gone { 0 } else { lists.access(document.access, "team", &id)? },
        limits: if gone { None } else { lists.limits(document.limits, "team", &id)? },
        tags: if gone { None } else { lists.tags(document.tags, "team", &id)? },
        keeps_content: document.content,
    };
    Ok(Change { id, version: document.version, row: (!gone).then_some(row) })
}

fn key(document: &KeyDocument<'_>, lists: Known) -> Result<Change<KeyId, Key>, String> {
    let id = key_id(&document.id)?;
    let version = document.version;
    if document.state == StateDocument::Deleted {
        return Ok(Change { id, version, row: None });
    }
    let mut secrets = Vec::with_capacity(document.secrets.len());
    for secret in &document.secrets {
        if secrets.iter().any(|known: &Secret| known.generation == secret.generation) {
            return Err(format!("keys: key {id}: generation {} stands twice", secret.generation));
        }
        let digest = secret.digest.as_deref().map(|hex| parsed(hex, id)).transpose()?;
        secrets.push(Secret::new(secret.generation, secret.until_us, digest));
    }
    let row = Key {
        disabled: document.state == StateDocument::Disabled,
        team: document.team.as_deref().map(team_id).transpose()?,
        access: lists.access(document.access, "key", id.as_str())?,
        limits: lists.limits(document.limits, "key", id.as_str())?,
        tags: lists.tags(document.tags, "key", id.as_str())?,
        keeps_content: document.content,
        expires_us: document.expires_us,
        cut_us: document.cut_us,
        secrets,
    };
    Ok(Change { id, version, row: Some(row) })
}

fn digest(document: &DigestDocument<'_>) -> Result<(KeyId, u32, Digest), String> {
    let id = key_id(&document.key)?;
    Ok((id, document.generation, parsed(&document.digest, id)?))
}

fn key_id(text: &str) -> Result<KeyId, String> {
    // What stands in its place could be a secret: it is not shown.
    KeyId::parse(text.as_bytes()).ok_or_else(|| "keys: the id of a key is 12 letters and digits".to_owned())
}

fn team_id(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.len() > MAX_TEAM_ID_BYTES {
        return Err(format!("keys: the id of a team has 1 to {MAX_TEAM_ID_BYTES} bytes"));
    }
    Ok(text.into())
}

fn parsed(hex: &str, id: KeyId) -> Result<Digest, String> {
    Digest::parse(hex).ok_or_else(|| format!("keys: key {id}: a digest is 64 hexadecimal digits"))
}
