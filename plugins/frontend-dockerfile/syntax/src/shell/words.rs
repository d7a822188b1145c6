//! Splitting an expanded word at spaces.

/// The words seen so far.
#[derive(Debug, Default)]
pub(super) struct Words {
    word: String,
    words: Vec<String>,
    in_word: bool,
}

impl Words {
    /// Adds a character that ends a word when it is a space.
    pub(super) fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.push_raw(c);
        } else if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }

    /// Adds a character that never ends a word.
    pub(super) fn push_raw(&mut self, c: char) {
        self.word.push(c);
        self.in_word = true;
    }

    /// Adds text in which spaces end words.
    pub(super) fn push_str(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    /// Adds text in which spaces do not end words.
    pub(super) fn push_raw_str(&mut self, text: &str) {
        self.word.push_str(text);
        self.in_word = true;
    }

    /// Returns the words. One that is empty does not count, quoted or not.
    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}
