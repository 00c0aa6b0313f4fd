//! Training a WordPiece vocabulary.
//!
//! As in the tokenizers library, the vocabulary is grown by byte-pair merges (Sennrich, Haddow and Birch 2016) and
//! used by greedy longest match. That library's own trainer walks hash maps, so that the ids of continuation
//! characters and all ties differ from run to run; this one walks words in order and breaks ties by id.
//!
//! Cost: a merge touches the words that hold the pair, so that the whole is about the number of distinct words times
//! their length.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::pieces::{documents, pieces};
use crate::Error;
use crate::tokenizer_file::{Kind, TokenizerFile};

/// The first entries of every vocabulary.
pub(super) const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// What a token starts with that goes on with a word.
const CONTINUES: &str = "##";
/// Characters that get entries of their own: the most frequent ones. A word with another one is unknown.
const ALPHABET: usize = 1_000;
/// A pair that is seen less often is not merged.
const MIN_COUNT: u64 = 2;

/// Trains a lower-casing WordPiece tokenizer with at most `vocabulary` entries on `texts` and returns its
/// `tokenizer.json`: the same texts give the same bytes.
///
/// # Errors
/// [`Error::Parameter`] if the special tokens and the characters of the texts alone are more than `vocabulary`, or
/// the texts hold no word.
pub fn train_tokenizer<T: AsRef<str>>(texts: &[T], vocabulary: usize) -> Result<String, Error> {
    train_tokenizer_with_sentinels(texts, vocabulary, 0)
}

/// As [`train_tokenizer`], with so many sentinels for dropped spans beside these entries: `<extra_id_0>` is the last entry,
/// `<extra_id_1>` the one before, and so on, as T5 has them.
///
/// # Errors
/// As [`train_tokenizer`].
pub fn train_tokenizer_with_sentinels<T: AsRef<str>>(
    texts: &[T],
    vocabulary: usize,
    sentinels: usize,
) -> Result<String, Error> {
    let words = count_words(texts)?;
    if words.is_empty() {
        return Err(Error::Parameter { name: "texts", value: "empty".into(), expected: "texts with words" });
    }
    let alphabet = alphabet(&words);
    let mut training = Training::new(&words, &alphabet);
    if training.tokens.len() > vocabulary {
        let value = format!("{vocabulary} with {} special tokens and characters", training.tokens.len());
        return Err(Error::Parameter { name: "vocabulary", value, expected: "at least that" });
    }
    training.merge_until(vocabulary);
    let kind = Kind::WordPieces { lowercase: true };
    let mut tokens = training.tokens;
    let first = tokens.len();
    tokens.extend((0..sentinels).rev().map(|k| format!("<extra_id_{k}>")));
    let special = (0..SPECIAL.len()).chain(first..tokens.len()).collect();
    Ok(TokenizerFile { vocabulary: &tokens, special, kind }.to_json())
}

/// How often each word occurs, as the tokenizer will see words.
fn count_words<T: AsRef<str>>(texts: &[T]) -> Result<BTreeMap<String, u64>, Error> {
    let normalizer = BertNormalizer::new(true, true, None, true);
    let refused = |error: tokenizers::Error| Error::Tokenizer { reason: error.to_string() };
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    for piece in texts.iter().flat_map(|text| documents(text.as_ref()).flat_map(pieces)) {
        let mut normalized = NormalizedString::from(piece);
        normalizer.normalize(&mut normalized).map_err(refused)?;
        let mut split = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut split).map_err(refused)?;
        for (word, ..) in split.get_splits(OffsetReferential::Original, OffsetType::None) {
            match words.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(words.insert(word.to_owned(), 1)),
            }
        }
    }
    Ok(words)
}

/// The most frequent characters.
fn alphabet(words: &BTreeMap<String, u64>) -> BTreeSet<char> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        for character in word.chars() {
            *counts.entry(character).or_default() += count;
        }
    }
    let mut characters: Vec<(char, u64)> = counts.into_iter().collect();
    characters.sort_by_key(|&(character, count)| (Reverse(count), character));
    characters.into_iter().take(ALPHABET).map(|(character, _)| character).collect()
}

type Pair = (u32, u32);

/// Where a pair stands.
#[derive(Default)]
struct Places {
    count: u64,
    /// Words that hold it, or held it once.
    words: BTreeSet<u32>,
}

struct Training {
    tokens: Vec<String>,
    ids: BTreeMap<String, u32>,
    /// Each word as tokens, and its count.
    words: Vec<(Vec<u32>, u64)>,
    /// Looked up, never walked: the order of a hash map is no order.
    pairs: HashMap<Pair, Places>,
    /// Pairs by count, then by smaller ids. Counts that have changed since are noticed when they come up.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Training {
    fn new(counts: &BTreeMap<String, u64>, alphabet: &BTreeSet<char>) -> Self {
        let known =
            || counts.iter().filter(|(word, _)| word.chars().all(|character| alphabet.contains(&character)));
        let continuing: BTreeSet<char> = known().flat_map(|(word, _)| word.chars().skip(1)).collect();
        let single = alphabet.iter().map(char::to_string);
        let continuing = continuing.iter().map(|character| format!("{CONTINUES}{character}"));
        let tokens: Vec<String> =
            SPECIAL.iter().map(|&token| token.to_owned()).chain(single).chain(continuing).collect();
        let ids: BTreeMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let spell = |word: &str| -> Vec<u32> {
            let spelled = word.char_indices().map(|(at, character)| {
                if at == 0 { ids[&character.to_string()] } else { ids[&format!("{CONTINUES}{character}")] }
            });
            spelled.collect()
        };
        let words = known().map(|(word, &count)| (spell(word), count)).collect();
        let mut training = Self { tokens, ids, words, pairs: HashMap::new(), queue: BinaryHeap::new() };
        let mut changed = BTreeSet::new();
        for word in 0..training.words.len() as u32 {
            training.count(word, &mut changed);
        }
        training.enqueue(&changed);
        training
    }

    /// Merges the most frequent pair until the vocabulary is full or no pair is frequent enough.
    fn merge_until(&mut self, vocabulary: usize) {
        while self.tokens.len() < vocabulary {
            let Some((count, Reverse(pair))) = self.queue.pop() else { break };
            let now = self.pairs.get(&pair).map_or(0, |places| places.count);
            if now < MIN_COUNT {
                continue;
            }
            if now != count {
                self.queue.push((now, Reverse(pair)));
                continue;
            }
            let changed = self.merge(pair);
            self.enqueue(&changed);
        }
    }

    /// Makes one token of a pair, wherever it stands. Returns the pairs whose counts have changed.
    fn merge(&mut self, pair: Pair) -> BTreeSet<Pair> {
        let (left, right) = (&self.tokens[pair.0 as usize], &self.tokens[pair.1 as usize]);
        let merged = format!("{left}{}", right.strip_prefix(CONTINUES).unwrap_or(right));
        // Two pairs may spell one token.
        let id = self.ids.get(&merged).copied().unwrap_or_else(|| {
            let id = self.tokens.len() as u32;
            self.tokens.push(merged.clone());
            self.ids.insert(merged, id);
            id
        });
        let mut changed = BTreeSet::new();
        for word in self.pairs.remove(&pair).map(|places| places.words).unwrap_or_default() {
            self.uncount(word, &mut changed);
            let tokens = &mut self.words[word as usize].0;
            let mut at = 0;
            while at + 1 < tokens.len() {
                if (tokens[at], tokens[at + 1]) == pair {
                    tokens[at] = id;
                    tokens.remove(at + 1);
                }
                at += 1;
            }
            self.count(word, &mut changed);
        }
        changed
    }

    fn count(&mut self, word: u32, changed: &mut BTreeSet<Pair>) {
        let (tokens, count) = &self.words[word as usize];
        for window in tokens.windows(2) {
            let pair = (window[0], window[1]);
            let places = self.pairs.entry(pair).or_default();
            places.count += count;
            places.words.insert(word);
            changed.insert(pair);
        }
    }

    fn uncount(&mut self, word: u32, changed: &mut BTreeSet<Pair>) {
        let (tokens, count) = &self.words[word as usize];
        for window in tokens.windows(2) {
            let pair = (window[0], window[1]);
            // The pair that is being merged is not counted any more.
            if let Some(places) = self.pairs.get_mut(&pair) {
                places.count -= count;
                changed.insert(pair);
            }
        }
    }

    fn enqueue(&mut self, pairs: &BTreeSet<Pair>) {
        for &pair in pairs {
            let count = self.pairs.get(&pair).map_or(0, |places| places.count);
            if count >= MIN_COUNT {
                self.queue.push((count, Reverse(pair)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{golden, vocabulary_size};

    fn trained(texts: &[&str], vocabulary: usize) -> Vec<String> {
        let words = count_words(texts).unwrap();
        let mut training = Training::new(&words, &alphabet(&words));
        training.merge_until(vocabulary);
        training.tokens
    }

    /// The same merges by counting everything anew each time.
    fn naive(texts: &[&str], vocabulary: usize) -> Vec<String> {
        let counts = count_words(texts).unwrap();
        let Training { mut tokens, mut words, .. } = Training::new(&counts, &alphabet(&counts));
        while tokens.len() < vocabulary {
            let mut pairs: BTreeMap<Pair, u64> = BTreeMap::new();
            for (word, count) in &words {
                for window in word.windows(2) {
                    *pairs.entry((window[0], window[1])).or_default() += count;
                }
            }
            let Some((&pair, &count)) = pairs.iter().max_by_key(|&(&pair, &count)| (count, Reverse(pair)))
            else {
                break;
            };
            if count < MIN_COUNT {
                break;
            }
            let merged =
                format!("{}{}", tokens[pair.0 as usize], tokens[pair.1 as usize].replace(CONTINUES, ""));
            let id = tokens.iter().position(|token| *token == merged).unwrap_or(tokens.len());
            if id == tokens.len() {
                tokens.push(merged);
            }
            for (word, _) in &mut words {
                let mut at = 0;
                while at + 1 < word.len() {
                    if (word[at], word[at + 1]) == pair {
                        word.splice(at..at + 2, [id as u32]);
                    }
                    at += 1;
                }
            }
        }
        tokens
    }

    const TEXTS: [&str; 3] = [
        "the cat sat on the mat. The cats sat on mats!",
        "banana bandana banana nana anna, mississippi missed the miss",
        "lower lowest newer newest wider widest low new wide aaaa aaaaa",
    ];

    #[test]
    fn merges_are_those_of_the_naive_way() {
        for vocabulary in [46, 50, 55, 60, 200] {
            assert_eq!(trained(&TEXTS, vocabulary), naive(&TEXTS, vocabulary), "{vocabulary}");
        }
        let tokens = trained(&TEXTS, 200);
        assert!(tokens.len() < 200, "merging ends with pairs that are seen once");
        for word in ["the", "cat", "banana", "sat"] {
            assert!(tokens.iter().any(|token| token == word), "{word} in {tokens:?}");
        }
    }

    #[test]
    fn training_twice_gives_the_same_bytes() {
        let json = train_tokenizer(&TEXTS, 55).unwrap();
        assert_eq!(json, train_tokenizer(&TEXTS, 55).unwrap());
        let mut turned = TEXTS;
        turned.reverse();
        assert_eq!(json, train_tokenizer(&turned, 55).unwrap());
        assert_eq!(vocabulary_size(json.as_bytes()).unwrap(), 55);
    }

    /// If this changes, the corpus's `VERSION` must rise.
    #[test]
    fn golden_tokenizer() {
        assert_eq!(golden::hash(train_tokenizer(&TEXTS, 55).unwrap().as_bytes()), 15_389_896_101_501_551_823);
    }

    #[test]
    fn impossible_vocabularies_are_refused() {
        assert!(
            train_tokenizer(&TEXTS, 10).unwrap_err().to_string().contains("special tokens and characters")
        );
        assert!(train_tokenizer(&["", " \n"], 100).is_err());
    }
}
