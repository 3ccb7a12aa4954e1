//! Names close to one that does not exist, for the error that says so.

/// At most three of `names` that a person may have meant by `asked`, closest first.
pub fn similar<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let asked: Vec<char> = asked.chars().take(128).collect();
    let close = |name: &'a str| {
        let letters: Vec<char> = name.chars().take(128).collect();
        let edits = distance(&asked, &letters);
        (edits <= letters.len().max(asked.len()) / 3 + 1).then_some((edits, name))
    };
    let mut near: Vec<(usize, &str)> = names.filter_map(close).collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Edits (insert, delete, replace) between two names, by Wagner and Fischer's table, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(x != y));
            diagonal = above;
        }
    }
    row[b.len()]
}
