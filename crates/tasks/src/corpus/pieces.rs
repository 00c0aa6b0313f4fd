//! Documents, and pieces of them that are short enough to be tokenised one at a time.

/// Longest piece (bytes), unless it has no space to cut at.
const LONGEST: usize = 4_096;

/// The documents of a text: blocks of lines between blank lines. A text with no blank line, however long its lines,
/// is one document.
pub(super) fn documents(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (document, after) = split_at_blank_line(rest);
            rest = after;
            if !document.trim().is_empty() {
                return Some(document);
            }
        }
        None
    })
}

fn split_at_blank_line(text: &str) -> (&str, &str) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            return (&text[..at], &text[at + line.len()..]);
        }
        at += line.len();
    }
    (text, "")
}

/// The pieces of a document: lines, and of a long line what ends at the last sentence end, or else the last space,
/// that still fits. Some corpora put a whole book on a line.
pub(super) fn pieces(document: &str) -> impl Iterator<Item = &str> {
    document.lines().flat_map(|line| {
        let mut rest = line.trim();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (piece, after) = rest.split_at(cut(rest));
            rest = after.trim_start();
            Some(piece.trim_end())
        })
    })
}

/// Where to cut a line.
fn cut(line: &str) -> usize {
    if line.len() <= LONGEST {
        return line.len();
    }
    let end = (0..=LONGEST).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
    let window = &line[..end];
    let after_sentence = |end: &str| window.rfind(end).map(|at| at + end.len());
    let sentence = [". ", "? ", "! "].into_iter().filter_map(after_sentence).max();
    let space = || window.rfind(char::is_whitespace);
    // Without a space in sight there is nothing to cut at: a word is never cut.
    let word = || line.find(char::is_whitespace).unwrap_or(line.len());
    sentence.or_else(space).filter(|&at| at > 0).unwrap_or_else(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_part_documents() {
        let text = "\u{feff}a b\nc\n\n \t\r\n\nd\n";
        assert_eq!(documents(text).collect::<Vec<_>>(), ["a b\nc\n", "d\n"]);
        assert_eq!(documents("one line").collect::<Vec<_>>(), ["one line"]);
        assert_eq!(documents("\n \n").count(), 0);
    }

    #[test]
    fn long_lines_are_cut_at_sentences_and_lose_no_word() {
        let sentence = "The cat é sat on the mat. ";
        let line = sentence.repeat(1_000);
        let pieces: Vec<&str> = pieces(&line).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= LONGEST && piece.ends_with("mat.")));
        assert_eq!(pieces.join(" "), line.trim());
    }

    #[test]
    fn words_are_never_cut() {
        let words = format!("{} {}", "é".repeat(5_000), "b".repeat(10));
        assert_eq!(pieces(&words).map(|piece| piece.chars().count()).collect::<Vec<_>>(), [5_000, 10]);
        let spaced = "ab ".repeat(3_000);
        assert_eq!(pieces(&spaced).collect::<Vec<_>>().join(" "), spaced.trim());
    }
}
