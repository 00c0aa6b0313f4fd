"""Writes minilm.json: embeddings of the published all-MiniLM-L6-v2 (the mean of the last hidden states, of length 1), and its
logits under a classifier whose weights are a formula.

    python make_minilm.py <folder of the model>
"""

import json
import math
import pathlib
import sys

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

TEXTS = [
    "The cat sat on the mat.",
    "Where was the treaty of 1648 signed, and by whom?",
    "Naïve cafés don't serve tokenization-heavy ##pieces!",
    "ok",
]

folder = sys.argv[1]
model = BertForSequenceClassification.from_pretrained(folder, num_labels=3).eval().double()
with torch.no_grad():
    width = model.classifier.weight.shape[1]
    weights = [math.sin(0.37 * i) / 8 for i in range(3 * width)]
    model.classifier.weight.copy_(torch.tensor(weights).reshape(3, width))
    model.classifier.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
tokenizer = AutoTokenizer.from_pretrained(folder)
cases = []
for text in TEXTS:
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
    with torch.no_grad():
        logits = model(**encoded).logits[0].tolist()
        mean = model.bert(**encoded).last_hidden_state[0].mean(0)
    embedding = [round(x, 9) for x in (mean / mean.norm()).tolist()]
    cases.append({"text": text, "ids": encoded["input_ids"][0].tolist(), "logits": logits, "embedding": embedding})
path = pathlib.Path(__file__).with_name("minilm.json")
path.write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
