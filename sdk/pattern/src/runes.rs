//! Characters in bytes that need not be UTF-8.

/// Takes the first character and its length; a byte that starts none counts as the replacement character, alone.
pub(crate) fn first(bytes: &[u8]) -> Option<(char, usize)> {
    let head = *bytes.first()?;
    if head < 0x80 {
        return Some((char::from(head), 1));
    }
    let length = match head {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    };
    let text = bytes
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    Some(
        text.and_then(|text| text.chars().next())
            .map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, length)),
    )
}
