//! Tokenised text.

use tables::guarded;

use super::pieces::{documents, pieces};
use crate::Error;
use crate::encode::parse;

/// A stream of tokens without special ones, and where its documents start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Token ids, document after document.
    pub tokens: Vec<u32>,
    /// Where each document starts in `tokens`, ascending, the first at 0.
    pub starts: Vec<u32>,
}

tables::rows! {
    /// A row for each token of a corpus, in order.
    struct TokenRow in "corpus" {
        /// Document that the token belongs to, counted from 0.
        document: u32,
        /// Token id.
        token: u32,
    }
}

/// Tokenises `texts` (whole files): each of their documents, blocks of lines between blank lines, in order.
///
/// # Errors
/// [`Error::Tokenizer`] if the tokenizer cannot be used or refuses a text.
pub fn tokenize<T: AsRef<str>>(tokenizer_json: &[u8], texts: &[T]) -> Result<Text, Error> {
    let mut tokenizer = parse(tokenizer_json)?;
    let refused = |reason: String| Error::Tokenizer { reason };
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| refused(error.to_string()))?;
    let mut text = Text::default();
    for document in texts.iter().flat_map(|text| documents(text.as_ref())) {
        let start = text.tokens.len() as u32;
        for piece in pieces(document) {
            let encoding = guarded(|| tokenizer.encode_fast(piece, false)).map_err(refused)?;
            text.tokens.extend_from_slice(encoding.map_err(|error| refused(error.to_string()))?.get_ids());
        }
        if text.tokens.len() as u32 > start {
            text.starts.push(start);
        }
    }
    Ok(text)
}

impl Text {
    /// Keeps the first `tokens` tokens.
    pub fn truncate(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
        self.starts.retain(|&start| (start as usize) < tokens);
    }

    /// Where the document that holds the token at `at` starts and ends.
    pub(super) fn document(&self, at: usize) -> std::ops::Range<usize> {
        let next = self.starts.partition_point(|&start| start as usize <= at);
        let end = self.starts.get(next).map_or(self.tokens.len(), |&start| start as usize);
        self.starts[next - 1] as usize..end
    }

    /// The documents, in order.
    pub(super) fn documents(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.iter().map(|&start| &self.tokens[self.document(start as usize)])
    }

    /// The table of this text.
    ///
    /// # Errors
    /// [`Error::Table`] if it cannot be written.
    pub fn to_parquet(&self) -> Result<Vec<u8>, Error> {
        let documents = (0..).zip(self.documents());
        let rows = documents
            .flat_map(|(document, tokens)| tokens.iter().map(move |&token| TokenRow { document, token }));
        Ok(TokenRow::write(&rows.collect::<Vec<_>>())?)
    }

    /// The text of a table.
    ///
    /// # Errors
    /// [`Error::Table`] if it cannot be read, [`Error::Examples`] if its documents are not in order.
    pub fn from_parquet(bytes: &[u8]) -> Result<Self, Error> {
        let mut text = Self::default();
        for TokenRow { document, token } in TokenRow::read(bytes)? {
            if document as usize == text.starts.len() {
                text.starts.push(text.tokens.len() as u32);
            } else if document as usize + 1 != text.starts.len() {
                let reason = format!("token {} is of document {document}, out of order", text.tokens.len());
                return Err(Error::Examples { part: "corpus".into(), reason });
            }
            text.tokens.push(token);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::train_tokenizer;
    use super::*;

    #[test]
    fn documents_become_tokens_and_come_back() {
        let texts = ["the cat sat\non the mat\n\nthe mat sat", "\n\n", "a cat"];
        let json = train_tokenizer(&texts, 40).unwrap();
        let text = tokenize(json.as_bytes(), &texts).unwrap();
        assert_eq!(text.starts.len(), 3);
        assert!(text.tokens.iter().all(|&token| (5..40).contains(&token)));
        assert_eq!(text.document(0), 0..text.starts[1] as usize);
        assert_eq!(text.document(text.tokens.len() - 1).end, text.tokens.len());
        let bytes = text.to_parquet().unwrap();
        assert_eq!(Text::from_parquet(&bytes).unwrap(), text);
        let mut short = text.clone();
        short.truncate(text.starts[1] as usize);
        assert_eq!(short.starts, [0]);
    }

    #[test]
    fn disorder_is_refused() {
        let row = |document| TokenRow { document, token: 7 };
        for documents in [vec![1], vec![0, 2], vec![0, 1, 0]] {
            let bytes = TokenRow::write(&documents.into_iter().map(row).collect::<Vec<_>>()).unwrap();
            assert!(matches!(Text::from_parquet(&bytes), Err(Error::Examples { .. })));
        }
    }
}
