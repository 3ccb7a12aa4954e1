//! What a key and its team are marked with, for the records of their requests. Equal marks are kept once.

use std::{borrow::Cow, sync::Arc};

/// So many of a key and its team together are told; of more, those of the key go first.
const MOST: usize = 16;

/// Names and texts, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags(Box<[(Box<str>, Box<str>)]>);

impl Tags {
    /// Of pairs in any order; of two with one name the first stays.
    pub fn new(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Self {
        let mut kept: Vec<(Box<str>, Box<str>)> =
            pairs.iter().map(|(name, text)| (name.as_ref().into(), text.as_ref().into())).collect();
        kept.sort_by(|one, other| one.0.cmp(&other.0));
        kept.dedup_by(|later, first| later.0 == first.0);
        Self(kept.into())
    }

    fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name)).is_ok()
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }
}

/// Those of a request: of the key, over those of its team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    pub key: Option<Arc<Tags>>,
    pub team: Option<Arc<Tags>>,
}

impl Tagged {
    /// Names and texts, by name, 16 at most.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.key.iter().flat_map(|tags| tags.pairs()).take(MOST);
        let room = MOST.saturating_sub(self.key.as_ref().map_or(0, |tags| tags.0.len()));
        let is_own = |name: &str| self.key.as_ref().is_some_and(|tags| tags.has(name));
        let others = self.team.iter().flat_map(|tags| tags.pairs());
        let mut others = others.filter(move |(name, _)| !is_own(name)).take(room).peekable();
        let mut own = own.peekable();
        std::iter::from_fn(move || match (own.peek(), others.peek()) {
            (Some(mine), Some(other)) if other.0 < mine.0 => others.next(),
            (Some(_), _) => own.next(),
            (None, _) => others.next(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Arc<Tags> {
        let pairs: Vec<_> = pairs.iter().map(|(name, text)| (Cow::from(*name), Cow::from(*text))).collect();
        Arc::new(Tags::new(&pairs))
    }

    #[test]
    fn the_keys_own_go_over_those_of_its_team() {
        let tagged = Tagged {
            key: Some(tags(&[("env", "dev"), ("app", "a")])),
            team: Some(tags(&[("env", "prod"), ("cost", "9")])),
        };
        assert_eq!(tagged.pairs().collect::<Vec<_>>(), [("app", "a"), ("cost", "9"), ("env", "dev")]);
        assert_eq!(
            Tagged { key: None, ..tagged.clone() }.pairs().collect::<Vec<_>>(),
            [("cost", "9"), ("env", "prod")]
        );
        assert_eq!(Tagged { team: None, ..tagged }.pairs().count(), 2);
        assert!(Tagged::default().is_empty() && Tagged { key: Some(tags(&[])), team: None }.is_empty());
    }

    #[test]
    fn of_too_many_the_teams_are_left_out_first() {
        let many = |letter: char, count: usize| {
            let names: Vec<_> = (0..count).map(|n| (Cow::from(format!("{letter}{n:02}")), Cow::from("x"))).collect();
            Some(Arc::new(Tags::new(&names)))
        };
        let tagged = Tagged { key: many('m', 12), team: many('a', 32) };
        let names: Vec<_> = tagged.pairs().map(|(name, _)| name.to_owned()).collect();
        assert_eq!((names.len(), names[0].as_str(), names[3].as_str(), names[4].as_str()), (16, "a00", "a03", "m00"));
        assert!(names.is_sorted());
        assert_eq!(
            Tagged { key: many('m', 32), team: many('a', 1) }.pairs().filter(|(name, _)| name.starts_with('m')).count(),
            16
        );
    }
}
