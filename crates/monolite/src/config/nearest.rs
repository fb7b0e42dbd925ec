//! The nearest known name to a mistyped one, by edit distance.

/// The known name that a mistyped one most likely meant; none when nothing is near.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let near = |name: &&'a str| {
        // A right key in a wrong section is nearer than its letters say.
        if last(name) == last(typed) { 1 } else { distance(typed, name) }
    };
    let best = known.into_iter().map(|name| (near(&name), name)).min()?;
    (best.0 <= typed.len().max(3) / 2).then_some(best.1)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbour() {
        let known = ["server.listen", "server.admin", "http.body_max"];
        assert_eq!(nearest("server.listn", known), Some("server.listen"));
        assert_eq!(nearest("sever.admin", known), Some("server.admin"));
        assert_eq!(nearest("server.body_max", known), Some("http.body_max"));
        assert_eq!(nearest("x.y", known), None);
        assert_eq!(nearest("x.y", []), None);
    }
}
