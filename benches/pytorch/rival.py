"""The PyTorch side of the benchmarks: does one piece of work after another and says how long each took.

Reads one JSON object per line and answers each with one line. {"setup": {...}} prepares a piece of work,
{"run": n} does it n times and answers {"ms": mean milliseconds}. See benches/rival.rs for the other end.
"""

import contextlib
import json
import sys
import time

import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification, logging

logging.set_verbosity_error()


def model_of(s):
    config = BertConfig(
        vocab_size=s["vocab"], hidden_size=s["hidden"], num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"], intermediate_size=4 * s["hidden"], max_position_embeddings=512,
        hidden_dropout_prob=0, attention_probs_dropout_prob=0, num_labels=2,
    )
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


def precision(s):
    if s["precision"] == "bf16":
        return lambda: torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext


def train(s):
    model = model_of(s).train()
    forward = torch.compile(model) if s["precision"] == "compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=s["precision"] != "eager")
    ids = torch.randint(5, s["vocab"], (s["batch"], s["length"]))
    mask, labels = torch.ones_like(ids), torch.arange(s["batch"]) % 2
    cast = precision(s)

    def step():
        with cast():
            loss = F.cross_entropy(forward(input_ids=ids, attention_mask=mask).logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def evaluate(s):
    model = model_of(s).eval()
    forward = torch.compile(model) if s["precision"] == "compile" else model
    ids = torch.randint(5, s["vocab"], (s["batch"], s["length"]))
    mask = torch.ones_like(ids)
    cast = precision(s)

    @torch.no_grad()
    def batch():
        with cast():
            forward(input_ids=ids, attention_mask=mask)

    return batch


def sweep(s):
    """One point of a line: weights in between, then all examples, padded to the longest of their batch."""
    model = model_of(s).eval()
    a = {k: v.clone() for k, v in model.state_dict().items()}
    b = {k: v + 0.01 if v.is_floating_point() else v for k, v in a.items()}
    cast = precision(s)
    batches = []
    for start in range(0, len(s["lengths"]), s["batch"]):
        lengths = s["lengths"][start : start + s["batch"]]
        mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        for row, length in enumerate(lengths):
            mask[row, :length] = 1
        batches.append((torch.randint(5, s["vocab"], mask.shape) * mask, mask))

    @torch.no_grad()
    def point():
        model.load_state_dict({k: torch.lerp(a[k], b[k], 0.3) if a[k].is_floating_point() else a[k] for k in a})
        with cast():
            for ids, mask in batches:
                model(input_ids=ids, attention_mask=mask)

    return point


def soup(s):
    """The mean of state dicts, as the released code of model soups makes it."""
    from safetensors.torch import load_file, save_file

    def average():
        mean = None
        for path in s["files"]:
            state = load_file(path)
            if mean is None:
                mean = {k: v * (1 / len(s["files"])) for k, v in state.items()}
            else:
                mean = {k: v * (1 / len(s["files"])) + mean[k] for k, v in state.items()}
        save_file(mean, s["out"])

    return average


def mergekit(s):
    """The same mean by mergekit's linear method, from folders that hold the same files."""
    import os

    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    names = []
    for i, path in enumerate(s["files"]):
        folder = f"{s['out']}.{i}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/config.json", "w") as config:
            config.write(s["config"])
        if not os.path.exists(f"{folder}/model.safetensors"):
            os.symlink(path, f"{folder}/model.safetensors")
        names.append({"model": folder, "parameters": {"weight": 1.0}})
    config = MergeConfiguration.model_validate({"merge_method": "linear", "models": names, "dtype": "float32"})
    options = MergeOptions(cuda=False, copy_tokenizer=False, quiet=True, write_model_card=False)
    return lambda: run_merge(config, f"{s['out']}.merged", options)


WORK = {"train": train, "evaluate": evaluate, "sweep": sweep, "soup": soup, "mergekit": mergekit}

work = None
for line in sys.stdin:
    order = json.loads(line)
    try:
        if "setup" in order:
            torch.set_num_threads(order["setup"]["threads"])
            work = WORK[order["setup"]["work"]](order["setup"])
            work()
            answer = {"ms": 0.0}
        else:
            started = time.perf_counter()
            for _ in range(order["run"]):
                work()
            answer = {"ms": 1000 * (time.perf_counter() - started) / order["run"]}
    except Exception as error:  # a rival that cannot do it is a result, too
        answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    print(json.dumps(answer), flush=True)
