#!/usr/bin/env python3
"""Makes `tokenizers.json`: small tokenizers as people publish them, and what transformers' AutoTokenizer makes of texts.

pip install transformers tokenizers; python3 make_tokenizers.py
"""
import copy
import json
import os
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

here = os.path.dirname(os.path.abspath(__file__))
corpus = ["the cat sat on the mat", "a dog and the Cats, hello World", "naïve Über café"] * 5
singles = [
    "the cats sat on the mat",
    "The CATS, Hello World!",
    "naïve Über café",
    "  leading and trailing  ",
    "電影 the 😀 cat",
    "שלום عالم the",
    "",
    "the <x> cat [MASK] <mask> a</s>dog <|endoftext|> [PAD]x",
    "the cat sat on the mat and a dog and the cats sat on it " * 3,
]
pairs = [["the cat", "a dog"], ["", "the"], ["the cat sat on the mat " * 2, "hello world " * 4]]
longest = 14

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
words += ["the", "cat", "The", "CAT", "sat", "on", "mat", "a", "dog", "and", "hello", "Hello", "world", "World"]
words += ["##s", "##S", "naive", "naïve", "uber", "über", "Über", "cafe", "café", "電", "影", "電影", ",", "!", "<", ">", "x"]
vocab_txt = "".join(word + "\n" for word in words)


def word_pieces(**normalizer):
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(words[:5])
    return json.loads(tokenizer.to_str())


def byte_pairs():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return json.loads(tokenizer.to_str())


def sentence_pairs():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"]
    raw = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special + raw, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    tokenizer = json.loads(tokenizer.to_str())
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:3]
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return json.loads(tokenizer.to_str())


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, **flags}


cased, uncased = word_pieces(lowercase=False), word_pieces(lowercase=True)
bytes_, sentences, grams = byte_pairs(), sentence_pairs(), unigram()
merges = "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in bytes_["model"]["merges"])
legacy = {"vocab.json": bytes_["model"]["vocab"], "merges.txt": merges}
cut_left = copy.deepcopy(cased)
cut_left["truncation"] = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
roberta_mask = {"__type": "AddedToken", **token("<mask>", lstrip=True)}
config = "tokenizer_config.json"
cases = {
    # BERT: tokenizer_config.json rules.
    "bert, cased in one file and uncased by default": ("bert", {"tokenizer.json": cased}),
    "bert, do_lower_case off": ("bert", {"tokenizer.json": uncased, config: {"tokenizer_class": "BertTokenizer", "do_lower_case": False}}),
    "bert, do_lower_case on": ("bert", {"tokenizer.json": cased, config: {"tokenizer_class": "BertTokenizerFast", "do_lower_case": True}}),
    "bert, accents kept": ("bert", {"tokenizer.json": uncased, config: {"do_lower_case": True, "strip_accents": False}}),
    "bert, accents stripped": ("bert", {"tokenizer.json": cased, config: {"do_lower_case": False, "strip_accents": True}}),
    "bert, Chinese not split": ("bert", {"tokenizer.json": uncased, config: {"tokenize_chinese_chars": False}}),
    "bert, generic class": ("bert", {"tokenizer.json": cased, config: {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}}),
    "bert, no segments": ("bert", {"tokenizer.json": uncased, config: {"model_input_names": ["input_ids", "attention_mask"]}}),
    "bert, cut on the left": ("bert", {"tokenizer.json": uncased, config: {"truncation_side": "left", "padding_side": "left"}}),
    "bert, cut on the left by tokenizer.json": ("bert", {"tokenizer.json": cut_left, config: {"do_lower_case": False}}),
    "bert, cut on the right after all": ("bert", {"tokenizer.json": cut_left, config: {"truncation_side": "right"}}),
    "bert, additional tokens": ("bert", {"tokenizer.json": uncased, config: {"additional_special_tokens": ["<x>"]}}),
    "bert, added tokens by id": ("bert", {"tokenizer.json": uncased, config: {"added_tokens_decoder": {"40": token("<x>", special=False), "0": token("[PAD]", special=True)}}}),
    "bert, added_tokens.json": ("bert", {"tokenizer.json": uncased, "added_tokens.json": {"<x>": 36}}),
    "bert, special_tokens_map.json": ("bert", {"tokenizer.json": uncased, "special_tokens_map.json": {"cls_token": "cat", "additional_special_tokens": ["<x>"]}}),
    "bert, no tokenizer_class for distilbert": ("distilbert", {"tokenizer.json": uncased, config: {"tokenizer_class": "DistilBertTokenizer"}}),
    # BERT: vocab.txt.
    "vocab.txt": ("bert", {"vocab.txt": vocab_txt}),
    "vocab.txt, cased": ("bert", {"vocab.txt": vocab_txt, config: {"do_lower_case": False}}),
    "vocab.txt, all settings": ("bert", {"vocab.txt": vocab_txt, config: {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False}}),
    "vocab.txt, blank and double lines": ("bert", {"vocab.txt": vocab_txt.replace("cat\n", "cat\n\nthe\n"), config: {"do_lower_case": False}}),
    "vocab.txt, Windows": ("bert", {"vocab.txt": vocab_txt.replace("\n", "\r\n")}),
    "vocab.txt, no mask": ("bert", {"vocab.txt": vocab_txt.replace("[MASK]\n", "")}),
    "vocab.txt, electra": ("bert", {"vocab.txt": vocab_txt, config: {"tokenizer_class": "ElectraTokenizer"}}),
    # Pairs of bytes.
    "gpt2": ("gpt2", {"tokenizer.json": bytes_}),
    "gpt2, prefix": ("gpt2", {"tokenizer.json": bytes_, config: {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "add_bos_token": True}}),
    "gpt2, two files": ("gpt2", legacy),
    "gpt2, two files and a beginning": ("gpt2", {**legacy, config: {"add_bos_token": True, "add_prefix_space": True}}),
    "roberta": ("roberta", {"tokenizer.json": bytes_}),
    "roberta, prefix and a wide mask": ("roberta", {"tokenizer.json": bytes_, config: {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True, "mask_token": roberta_mask}}),
    "roberta, two files": ("roberta", legacy),
    "roberta, two files, old special tokens": ("roberta", {**legacy, "special_tokens_map.json": {"mask_token": token("<mask>", lstrip=True)}}),
    "roberta with BERT's class": ("roberta", {"vocab.txt": vocab_txt, config: {"tokenizer_class": "BertTokenizer"}}),
    "gpt_neox": ("gpt_neox", {"tokenizer.json": bytes_}),
    "gpt_neox, beginning": ("gpt_neox", {"tokenizer.json": bytes_, config: {"tokenizer_class": "GPTNeoXTokenizer", "add_bos_token": True}}),
    "olmo2": ("olmo2", {"tokenizer.json": bytes_, config: {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}),
    # SentencePiece's.
    "llama, general class": ("llama", {"tokenizer.json": sentences, config: {"tokenizer_class": "PreTrainedTokenizerFast"}}),
    "llama": ("llama", {"tokenizer.json": sentences, config: {"tokenizer_class": "LlamaTokenizer"}}),
    "llama, legacy": ("llama", {"tokenizer.json": sentences, config: {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}}),
    "llama, no prefix": ("llama", {"tokenizer.json": sentences, config: {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}}),
    "llama of bytes": ("llama", {"tokenizer.json": bytes_, config: {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": True}}),
    "t5, general class": ("t5", {"tokenizer.json": grams, config: {"tokenizer_class": "PreTrainedTokenizerFast"}}),
}

made = []
for name, (model_type, files) in cases.items():
    with tempfile.TemporaryDirectory() as folder:
        json.dump({"model_type": model_type}, open(f"{folder}/config.json", "w"))
        texts = {file: content if isinstance(content, str) else json.dumps(content, ensure_ascii=False) for file, content in files.items()}
        for file, content in texts.items():
            with open(f"{folder}/{file}", "w", newline="") as out:
                out.write(content)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        encoded = [tokenizer(text, truncation=True, max_length=longest) for text in singles]
        encoded += [tokenizer(*pair, truncation=True, max_length=longest) for pair in pairs]
        ids = [row["input_ids"] for row in encoded]
        types = [row.get("token_type_ids", [0] * len(row["input_ids"])) for row in encoded]
        made.append({"name": name, "model_type": model_type, "files": texts, "ids": ids, "types": types})

# Files that several cases have are written once.
contents = sorted({content for case in made for content in case["files"].values()})
for case in made:
    case["files"] = {file: contents.index(content) for file, content in case["files"].items()}
whole = {"singles": singles, "pairs": pairs, "longest": longest, "contents": contents, "cases": made}
with open(f"{here}/tokenizers.json", "w") as out:
    json.dump(whole, out, ensure_ascii=False, separators=(",", ":"))
