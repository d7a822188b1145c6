//! A few lines of a Dockerfile with the wrong ones marked, as BuildKit prints them.

/// Returns name and lines around a range of lines, counted from 1; nothing where the range is not in the text.
pub(crate) fn around(name: &str, text: &str, first: usize, last: usize) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    if first < 1 || first > lines.len() {
        return String::new();
    }
    let last = last.clamp(first, lines.len());
    let (mut start, mut end) = (first, last);
    let wanted = if first == last { 4 } else { 2 };
    let mut added = 0;
    while added < wanted {
        if start > 1 {
            start -= 1;
            added += 1;
        }
        if end != lines.len() {
            end += 1;
            added += 1;
        }
        added += 1;
    }
    let mut out = format!("{name}:{first}\n--------------------\n");
    for number in start..=end {
        let mark = if (first..=last).contains(&number) {
            ">>>"
        } else {
            "   "
        };
        out.push_str(&format!(" {number:3} | {mark} {}\n", lines[number - 1]));
    }
    out.push_str("--------------------\n");
    out
}
