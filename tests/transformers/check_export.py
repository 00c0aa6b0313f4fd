"""Loads a model that samebasin wrote with transformers, and compares logits example by example.

    pip install torch transformers polars
    samebasin store export world/run/0.6000.base.0 folder        # config.json, model.safetensors, tokenizer.json, ...
    python tests/transformers/check_export.py folder out/world/tables/predictions.parquet RUN_KEY TASK_SPLIT.parquet

Exits with 1 if any logit differs by more than 1e-4.
"""

import sys

import polars
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def main():
    folder, predictions, run, split_file = sys.argv[1:]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    examples = polars.read_parquet(split_file).head(64)
    ours = polars.read_parquet(predictions)
    if "run" in ours.columns:
        ours = ours.filter(polars.col("run") == run)
    ours = ours.filter(polars.col("split") == "id").select("example", "logits")
    joined = examples.join(ours, left_on="id", right_on="example", how="inner")
    assert joined.height == examples.height, f"{joined.height} of {examples.height} examples have a prediction"
    second = joined["text_b"].to_list() if joined["text_b"].null_count() < joined.height else None
    batch = tokenizer(joined["text"].to_list(), second, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**batch).logits
    difference = (theirs - torch.tensor(joined["logits"].to_list())).abs().max().item()
    print(f"{joined.height} examples, largest difference of a logit {difference:.2e}")
    sys.exit(difference > 1e-4)


if __name__ == "__main__":
    main()
