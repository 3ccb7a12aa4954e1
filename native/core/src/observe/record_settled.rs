//! What the limits of a request were charged, read from the public part of its entry; `record_form` is the other side.

use super::record_read::List;
use crate::{
    keys::OPEN,
    limits::{Kind, Met, Need, Past, Scope},
};

/// What is shown of one request.
struct Settled<'a> {
    key_id: &'a str,
    team: &'a str,
    limits: Met,
    tokens: u64,
    nanousd: u64,
    charged_us: u64,
    ended_us: u64,
}

/// Shows each scope in which the request of a record counts for longer than its process lived. `None`: the record cannot
/// be read to its end.
pub fn settled(public: &[u8], seen: &mut dyn FnMut(&Past<'_>)) -> Option<()> {
    let mut list = List::new(public)?;
    list.skip(6)?; // form, number, count, ids
    let started_us = list.number()?.unwrap_or(0);
    let (key_id, team) = (list.text()?.unwrap_or(OPEN), list.text()?.unwrap_or_default());
    list.skip(13)?; // dialect to cost
    let (tokens, nanousd) = (list.number()?.unwrap_or(0), list.number()?.unwrap_or(0));
    let phases = list.inner(|phases| {
        phases.skip(5)?;
        let total_us = phases.number()?.unwrap_or(0);
        phases.skip(1)?; // leases
        Some((total_us, phases.number()?.unwrap_or(0)))
    })?;
    list.skip(7)?; // admission to tags
    let limits = list.inner(|names| {
        let mut met = Met::default();
        while names.is_open() {
            met = met.and(Met::named(names.text()?.unwrap_or_default()));
        }
        Some(met)
    })?;
    let (total_us, admitted_us) = phases.unwrap_or_default();
    let (charged_us, ended_us) = (started_us.saturating_add(admitted_us), started_us.saturating_add(total_us));
    let of = Settled { key_id, team, limits: limits.unwrap_or_default(), tokens, nanousd, charged_us, ended_us };
    list.inner(|scopes| {
        while scopes.is_open() {
            scopes.inner(|scope| of.scope(scope, seen))?;
        }
        Some(())
    })?;
    Some(())
}

impl<'a> Settled<'a> {
    /// Rank, number of its telling, and the name where the record has it nowhere else.
    fn scope(&self, list: &mut List<'a>, seen: &mut dyn FnMut(&Past<'_>)) -> Option<()> {
        let (rank, told) = (list.number()??, list.number()??);
        let name = list.text()?.unwrap_or_default();
        let scope = match rank {
            0 => Scope::Key(self.key_id),
            1 => Scope::Team(self.team),
            2 => Scope::Model(name),
            3 => Scope::Provider(name),
            4 => Scope::Global,
            _ => return Some(()),
        };
        let charged = |kind, amount| if self.limits.has(scope.rank(), kind) { amount } else { 0 };
        let charged = Need {
            requests: charged(Kind::Requests, 1),
            tokens: charged(Kind::Tokens, self.tokens),
            nanousd: charged(Kind::Budget, self.nanousd),
        };
        // A provider is charged once it is asked, which no record tells: of two days it counts in the later one.
        let charged_us = if matches!(scope, Scope::Provider(_)) { self.ended_us } else { self.charged_us };
        seen(&Past { scope, told, charged, charged_us, ended_us: self.ended_us });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::{Counted, Layered, Policy},
        observe::{record::Record, record_form::public},
    };

    fn shown(record: &Record) -> Vec<String> {
        let (mut packed, mut all) = (Vec::new(), Vec::new());
        public(record, 1, &mut packed);
        settled(&packed, &mut |past| all.push(format!("{past:?}"))).unwrap();
        for length in 0..packed.len() {
            settled(&packed[..length], &mut |_| {}); // whatever it says, it says it
        }
        all
    }

    #[test]
    fn each_scope_is_shown_with_what_its_limits_were_charged() {
        let policy: Policy = serde_json::from_str(
            r#"{"requests": [{"amount": 9, "period": "day"}], "budget": [{"amount": 9, "period": "day"}]}"#,
        )
        .unwrap();
        let both = Layered { own: Some(&policy), default: None };
        let scopes = [Scope::Key("k"), Scope::Team("t"), Scope::Model("gpt-*"), Scope::Provider("up"), Scope::Global];
        let (mut counted, mut limits) = (Counted::default(), Met::default());
        for (told, scope) in (7..).zip(scopes) {
            counted.note(scope, told);
            limits = limits.and(Met::of(scope, &both, scope != Scope::Global));
        }
        let mut record =
            Record { key_id: "k".into(), team: "t".into(), started_utc_us: 5, limits, ..Record::default() };
        assert!(shown(&record).is_empty(), "nothing outlives the process");
        record.counted = counted;
        (record.phases.total_us, record.phases.admitted_us) = (2, Some(1));
        (record.charged_tokens, record.charged_nanousd) = (Some(30), Some(400));
        let expected = (7..).zip(scopes).map(|(told, scope)| {
            let nanousd = if scope == Scope::Global { 0 } else { 400 };
            let charged = Need { requests: 1, tokens: 0, nanousd };
            let charged_us = if scope == Scope::Provider("up") { 7 } else { 6 };
            format!("{:?}", Past { scope, told, charged, charged_us, ended_us: 7 })
        });
        assert_eq!(shown(&record), expected.collect::<Vec<_>>());
    }

    #[test]
    fn without_keys_it_is_the_open_one_that_counts() {
        let mut record = Record::default();
        record.counted.note(Scope::Key(OPEN), 3);
        assert!(shown(&record)[0].contains(r#"Key("open")"#));
    }
}
