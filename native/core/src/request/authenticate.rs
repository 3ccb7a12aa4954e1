//! Who asks: with `auth: keys` the holder of a key; with `auth: open` everybody who reaches the port, as long as no
//! foreign web page sent them.

use std::{net::IpAddr, pin::pin, sync::Arc};

use super::{
    Stop,
    call::Call,
    credential,
    facts::Facts,
    read::overloaded,
    verify::{Verdict, verify},
};
use crate::{
    error::{Code, Error},
    keys::{Access, Checked, Credential, KeyRow, Refusal, Tagged, TeamRow},
    observe::metrics::Auth,
    relay::{Watched, watch},
    server::cuts::Cuttable,
    snapshot::{self, Snapshot},
};

/// Who a request belongs to.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Anybody (`auth: open`).
    Open,
    Key {
        row: Arc<KeyRow>,
        team: Option<Arc<TeamRow>>,
    },
}

impl Principal {
    /// What the key and its team allow: what all of them allow is allowed.
    pub fn access(&self) -> impl Iterator<Item = &Access> {
        let (key, team) = match self {
            Self::Open => (None, None),
            Self::Key { row, team } => (Some(&*row.access), team.as_ref().map(|team| &*team.access)),
        };
        key.into_iter().chain(team)
    }

    /// Whether a model may be asked for by this name.
    pub fn allows_model(&self, name: &str) -> bool {
        self.access().all(|access| access.allows_model(name))
    }

    /// Whether only some models may be asked for.
    pub fn is_bound_to_models(&self) -> bool {
        self.access().any(|access| access.lists().models.is_some())
    }

    /// Whether a path, without `/v1`, may be called.
    pub fn allows_path(&self, path: &str) -> bool {
        self.access().all(|access| access.allows_path(path))
    }

    /// Whether its texts may be recorded, where any are.
    pub fn keeps_content(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Key { row, team } => row.keeps_content && team.as_ref().is_none_or(|team| team.keeps_content),
        }
    }

    /// Whether a client at this address may ask.
    pub fn allows_client(&self, client: Option<IpAddr>) -> bool {
        self.access().all(|access| access.allows_client(client))
    }
}

/// Finds out who sent a request; from then on it can be cut.
pub async fn authenticate(call: &mut Call<'_>, facts: &Facts) -> Result<Principal, Stop> {
    call.client.cut = Some(Cuttable::enter(call.worker));
    if call.snapshot.auth == snapshot::Auth::Open {
        let bytes = call.client.conn.head();
        let host = facts.host.map(|s| s.of(bytes)).filter(|_| call.client.peer.is_some());
        check_origin(&call.snapshot, host, facts.origin.map(|s| s.of(bytes)))?;
        return Ok(Principal::Open);
    }
    let (row, team) = match known(call, facts).await {
        Ok(known) => known,
        Err(Denied::Gone) => return Err(Stop::Gone),
        Err(Denied::Refused(auth, error)) => {
            call.worker.metrics().authenticated(auth);
            return Err(error.into());
        }
    };
    if let Some(cut) = &call.client.cut {
        cut.is_of(&row);
    }
    call.record.key_id.push_str(row.id.as_str());
    call.record.team.push_str(row.team().unwrap_or_default());
    call.record.tags = Tagged { key: row.tags.clone(), team: team.as_ref().and_then(|team| team.tags.clone()) };
    let principal = Principal::Key { row, team };
    if !principal.allows_client(call.record.client) {
        let from = call.record.client.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
        let message = format!("This API key may not be used from {from}; ask whoever issued it.");
        return Err(Error::new(Code::NetworkNotAllowed, message).into());
    }
    Ok(principal)
}

/// Why nobody is let in.
enum Denied {
    Refused(Auth, Error),
    Gone,
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        let auth = match refusal {
            Refusal::Unknown => Auth::Unknown,
            Refusal::Wrong => Auth::Wrong,
            Refusal::Disabled => Auth::Disabled,
            Refusal::Expired => Auth::Expired,
            Refusal::Away => Auth::Away,
        };
        Self::Refused(auth, refusal.error())
    }
}

/// The key that the request shows, known or verified.
async fn known(call: &mut Call<'_>, facts: &Facts) -> Result<(Arc<KeyRow>, Option<Arc<TeamRow>>), Denied> {
    let bytes = call.client.conn.head();
    let span = call.key.map_or_else(|| credential::key(facts, bytes), Ok).map_err(|error| {
        let auth = if error.code == Code::MissingApiKey { Auth::Missing } else { Auth::Malformed };
        Denied::Refused(auth, error)
    })?;
    let malformed = || Denied::Refused(Auth::Malformed, Refusal::Wrong.error());
    let credential = Credential::read(span.of(bytes)).map_err(|_| malformed())?;
    let worker = call.worker;
    let shared = &worker.shared;
    let digest = match shared.keys.check(&credential, &shared.digests, call.record.started_utc_us) {
        Checked::Known { row, team } => {
            call.worker.metrics().authenticated(Auth::Known);
            return Ok((row, team));
        }
        _ if !credential.is_whole() => return Err(malformed()),
        Checked::Refused(refusal) => return Err(refusal.into()),
        Checked::Unverified(digest) => digest,
    };
    // Copied: while the verdict is awaited the connection reads on, and its buffer may move.
    let text = span.of(bytes).to_vec();
    let credential = Credential::read(&text).map_err(|_| malformed())?;
    let client = call.record.client;
    call.client.timer.set_at(None);
    let verifying = Box::pin(verify(worker, &credential, &digest, client));
    match watch(call.client, pin!(verifying)).await {
        Watched::Gone | Watched::Late => return Err(Denied::Gone),
        Watched::Done(Verdict::Right) => {}
        Watched::Done(other) => return Err(refused(other)),
    }
    match shared.keys.check(&credential, &shared.digests, call.worker.clock().utc_us()) {
        Checked::Known { row, team } => {
            call.worker.metrics().authenticated(Auth::Verified);
            Ok((row, team))
        }
        Checked::Refused(refusal) => Err(refusal.into()),
        // Python said right and the digest is not there: between the two the key has changed. Another try will tell.
        Checked::Unverified(_) => Err(Refusal::Away.into()),
    }
}

fn refused(verdict: Verdict) -> Denied {
    match verdict {
        Verdict::Right | Verdict::Wrong => Refusal::Wrong.into(),
        Verdict::Slow { retry_after_ms } => {
            let message =
                "Too many wrong secrets for this API key from your address. Wait as long as retry-after says.";
            Denied::Refused(Auth::Slow, Error::new(Code::RateLimitRequests, message).after_ms(retry_after_ms))
        }
        Verdict::Away { retry_after_ms } => Denied::Refused(Auth::Away, Refusal::Away.error().after_ms(retry_after_ms)),
        Verdict::Full => Denied::Refused(Auth::Away, overloaded("too many API keys wait to be checked")),
        Verdict::Closed => {
            let message = "The gateway is stopping and checks no API key any more.";
            Denied::Refused(Auth::Away, Error::new(Code::ShuttingDown, message).after_ms(1_000))
        }
    }
}

/// Checks `Host` and `Origin`, so that a page that a browser on this machine shows cannot use the gateway through a
/// name of its own (DNS rebinding) or by a cross-site request.
pub fn check_origin(snapshot: &Snapshot, host: Option<&[u8]>, origin: Option<&[u8]>) -> Result<(), Error> {
    let allowed = |authority: &[u8]| {
        snapshot.allowed_hosts.is_empty()
            || name(authority)
                .is_some_and(|n| snapshot.allowed_hosts.iter().any(|a| a.as_bytes().eq_ignore_ascii_case(n)))
    };
    if host.is_some_and(|h| !allowed(h)) {
        let message = "With `auth: open` only the gateway's own names are served; this Host is another.";
        return Err(Error::new(Code::HostNotAllowed, message));
    }
    // Another port of this machine is another origin: whatever serves there is not us.
    let foreign = |origin: &[u8]| {
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        !authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    if origin.is_some_and(foreign) {
        let message = "With `auth: open` no web page of another origin may send requests.";
        return Err(Error::new(Code::OriginNotAllowed, message));
    }
    Ok(())
}

/// The name in `name`, `name:port` or `[v6]:port`.
fn name(authority: &[u8]) -> Option<&[u8]> {
    let (name, port) = match authority {
        [b'[', inner @ ..] => {
            let (name, rest) = inner.split_at(inner.iter().position(|b| *b == b']')?);
            (name, &rest[1..])
        }
        _ => authority.split_at(authority.iter().position(|b| *b == b':').unwrap_or(authority.len())),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port.then_some(name)
}
