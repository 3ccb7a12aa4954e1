//! The texts of a request that is recorded with them, from when they are here until its record is made.

use std::rc::Rc;

use super::{Principal, endpoint::Api, read::Held};
use crate::{
    content::{Content, Kept, Policy, Room, write_prompt},
    server::worker::Worker,
    snapshot::Snapshot,
};

/// What was kept so far.
pub struct Taken {
    prompt: Option<Kept>,
    pub answer: Option<Box<Kept>>,
    /// Its credentials.
    keys: Vec<Box<[u8]>>,
}

/// Whether texts of a request are recorded, and how: its path has some, and neither its key nor its team has opted out.
pub fn policy<'a>(worker: &Worker, snapshot: &'a Snapshot, principal: &Principal, api: Api) -> Option<&'a Policy> {
    let policy = snapshot.content.as_ref()?;
    (has_text(api) && principal.keeps_content() && worker.shared.journal().is_some()).then_some(policy)
}

/// Whether what is asked is text.
const fn has_text(api: Api) -> bool {
    matches!(
        api,
        Api::Chat
            | Api::Completions
            | Api::Embeddings
            | Api::Responses
            | Api::Compact
            | Api::Moderations
            | Api::Messages
            | Api::OllamaChat
            | Api::OllamaGenerate
            | Api::OllamaEmbed
    )
}

/// A place for an answer of which `policy` says what is recorded.
pub fn answer(worker: &Rc<Worker>, snapshot: &Snapshot, policy: Option<&Policy>) -> Option<Box<Kept>> {
    policy.filter(|policy| policy.answers).map(|policy| Box::new(kept(worker, snapshot, policy)))
}

impl Taken {
    /// Takes the prompt. `body`: JSON. `keys`: the credentials of the request.
    pub fn of(worker: &Rc<Worker>, snapshot: &Snapshot, policy: &Policy, body: &[u8], keys: Vec<Box<[u8]>>) -> Self {
        let prompt = policy.prompts.then(|| {
            let mut prompt = kept(worker, snapshot, policy);
            write_prompt(body, &mut prompt);
            prompt
        });
        Self { prompt, answer: None, keys }
    }

    /// As it is recorded; `None`: there was no text.
    pub fn finish(self, policy: &Policy) -> Option<Box<Content>> {
        let finish = |kept: Option<Kept>| kept.and_then(|kept| kept.finish(policy, &self.keys));
        let content = Content { prompt: finish(self.prompt), answer: finish(self.answer.map(|kept| *kept)) };
        (!content.is_empty()).then(|| Box::new(content))
    }
}

fn kept(worker: &Rc<Worker>, snapshot: &Snapshot, policy: &Policy) -> Kept {
    Kept::new(policy, Box::new(Inflight { held: Held::new(worker), most: snapshot.max_inflight_bytes / 2 }))
}

/// Memory under `body.max_inflight_bytes`: half of it is for requests that come.
struct Inflight {
    held: Held,
    most: usize,
}

impl Room for Inflight {
    fn grow_to(&mut self, bytes: usize) -> bool {
        self.held.grow_to(bytes, self.most)
    }
}
