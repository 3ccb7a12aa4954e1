//! Several targets in turn, one connection each, in short slices: what disturbs the machine disturbs all of them alike.

use serde_json::{Map, Value};
use tokio::{runtime, time::timeout};

use crate::{
    Outcome,
    args::Args,
    clock::{self, SECOND, now_ns},
    drive::{PATIENCE, client::Client, closed::note, plan::Plan},
    stats::Samples,
};

/// Time at a target until the next one's turn.
const SLICE_NS: u64 = SECOND / 20;
/// Its beginning, in which caches and cores warm up again and nothing is counted.
const LEAD_NS: u64 = SECOND / 100;

struct Side {
    name: String,
    plan: Plan,
    client: Client,
    samples: Samples,
}

pub(crate) fn run(args: &Args) -> Outcome<Value> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(take_turns(args))
}

async fn take_turns(args: &Args) -> Outcome<Value> {
    let mut sides = Vec::new();
    for target in args.need::<String>("targets")?.split(',') {
        let parts: Vec<&str> = target.split('=').collect();
        let (name, address, model, key) = match parts[..] {
            [name, address, model] => (name, address, model, None),
            [name, address, model, key] => (name, address, model, Some(key)),
            _ => return Err(format!("{target}: not NAME=ADDRESS=MODEL or NAME=ADDRESS=MODEL=KEY").into()),
        };
        let plan = Plan::toward(address.parse()?, model, key, "duel", args)?;
        let client = Client::connect(plan.target, 0).await?;
        sides.push(Side { name: name.to_owned(), plan, client, samples: Samples::default() });
    }
    let turns = clock::seconds(args.or("seconds", 0.5)?).div_ceil(SLICE_NS).max(1) as usize;
    for _ in 0..turns {
        for side in &mut sides {
            side.slice().await.map_err(|e| format!("{}: {e}", side.name))?;
        }
        sides.rotate_left(1);
    }
    let summaries = sides.into_iter().map(|side| (side.name, side.samples.summary()));
    Ok(Value::Object(summaries.collect::<Map<_, _>>()))
}

impl Side {
    async fn slice(&mut self) -> Outcome<()> {
        let begin = now_ns();
        loop {
            let sent_ns = now_ns();
            if sent_ns > begin + LEAD_NS + SLICE_NS {
                return Ok(());
            }
            let answered = timeout(PATIENCE, self.client.ask(&self.plan)).await.map_err(|_| "no answer in time")??;
            if sent_ns >= begin + LEAD_NS {
                note(&mut self.samples, sent_ns, &answered);
            }
        }
    }
}
