//! The name of a limit among nodes: `key:AbC:requests:60000000`, `global::tokens:day`.

use super::{Kind, Period, Scope, Span};

const DAY: &str = "day";
const MONTH: &str = "month";

/// Only of what counts over time.
pub(super) fn write(scope: Scope<'_>, kind: Kind, span: Span) -> String {
    let (scope_kind, name, kind) = (scope.kind_name(), scope.name(), kind.name());
    match span {
        Span::Window(us) => format!("{scope_kind}:{name}:{kind}:{us}"),
        Span::Period(Period::Day) => format!("{scope_kind}:{name}:{kind}:{DAY}"),
        Span::Period(Period::Month) | Span::AtOnce => format!("{scope_kind}:{name}:{kind}:{MONTH}"),
    }
}

pub(super) fn read(tag: &str) -> Option<(Scope<'_>, Kind, Span)> {
    let (scope_kind, rest) = tag.split_once(':')?;
    let (rest, span) = rest.rsplit_once(':')?;
    let (name, kind) = rest.rsplit_once(':')?;
    let scope = match scope_kind {
        "key" => Scope::Key(name),
        "team" => Scope::Team(name),
        "model" => Scope::Model(name),
        "provider" => Scope::Provider(name),
        "global" if name.is_empty() => Scope::Global,
        _ => return None,
    };
    let kind = Kind::ALL.into_iter().find(|each| *each != Kind::Concurrent && each.name() == kind)?;
    let span = match span {
        DAY => Span::Period(Period::Day),
        MONTH => Span::Period(Period::Month),
        us => Span::Window(us.parse().ok()?),
    };
    Some((scope, kind, span))
}

#[cfg(test)]
mod tests {
    use super::{Kind, Period, Scope, Span, read, write};

    #[test]
    fn a_tag_is_read_as_what_it_was_written_of_whatever_the_name_holds() {
        for (scope, kind, span, tag) in [
            (Scope::Key("AbC"), Kind::Requests, Span::Window(60_000_000), "key:AbC:requests:60000000"),
            (Scope::Global, Kind::Tokens, Span::Period(Period::Day), "global::tokens:day"),
            (Scope::Model("a:b:c"), Kind::Budget, Span::Period(Period::Month), "model:a:b:c:budget:month"),
            (Scope::Provider("x:tokens:day"), Kind::Tokens, Span::Window(1), "provider:x:tokens:day:tokens:1"),
            (Scope::Team(""), Kind::Requests, Span::Window(2), "team::requests:2"),
        ] {
            assert_eq!(write(scope, kind, span), tag);
            assert_eq!(read(tag), Some((scope, kind, span)));
        }
        for tag in [
            "",
            "key",
            "key:a:requests",
            "key:a:concurrent:1",
            "cell:a:requests:1",
            "global:a:tokens:day",
            "key:a:tokens:x",
        ] {
            assert_eq!(read(tag), None, "{tag}");
        }
    }
}
