"""Makes the fixtures that hold low-rank adaptation to peft.

    pip install torch transformers peft
    python tests/transformers/make_lora.py

For each family's classifier (see make_fixtures.py): lora.safetensors, an adapter with random factors and a random head;
lora_gradients.safetensors, the gradients of both under the same names; and lora.json, what it was made with, logits and loss.
"""

import json
import pathlib
import tempfile

import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
FAMILIES = {
    "bert": (["query", "value"], "classifier"),
    "roberta": (["query", "value"], "classifier"),
    "distilbert": (["q_lin", "v_lin"], "classifier"),
    "gpt2": (["c_attn"], "score"),
    "gpt_neox": (["query_key_value"], "score"),
    "llama": (["q_proj", "v_proj"], "score"),
    "olmo2": (["q_proj", "v_proj"], "score"),
    "t5": (["q", "v"], "classification_head"),
}
RANK, ALPHA = 4, 6


def main():
    for family, (targets, head) in FAMILIES.items():
        make(HERE / family, targets, head)


def make(folder, targets, head):
    expected = json.loads((folder / "expected.json").read_text())
    base = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets, modules_to_save=[head],
        fan_in_fan_out=base.config.model_type == "gpt2",
    )
    model = get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(2)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    starts = expected["starts"]
    ids = [torch.tensor(expected["ids"][a:b]) for a, b in zip(starts, starts[1:])]
    types = [torch.tensor(expected["types"][a:b]) for a, b in zip(starts, starts[1:])]
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = {
        "input_ids": pad(ids, batch_first=True, padding_value=base.config.pad_token_id),
        "attention_mask": pad([torch.ones(len(row), dtype=torch.long) for row in ids], batch_first=True),
        "labels": torch.tensor(expected["labels"]),
    }
    if base.config.model_type in ("bert", "roberta"):
        inputs["token_type_ids"] = pad(types, batch_first=True)
    output = model(**inputs)
    output.loss.backward()

    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        adapter = load_file(f"{saved}/adapter_model.safetensors")
    save_file(adapter, folder / "lora.safetensors")
    # A file says `lora_A.weight` where the model says `lora_A.default.weight`.
    as_saved = lambda name: name.replace(".default", "").replace(".modules_to_save", "")
    gradients = {as_saved(name): parameter.grad.contiguous() for name, parameter in trained.items()}
    assert gradients.keys() == adapter.keys(), gradients.keys() ^ adapter.keys()
    save_file(gradients, folder / "lora_gradients.safetensors")
    found = {
        "rank": RANK, "alpha": ALPHA, "targets": targets, "logits": output.logits.tolist(), "loss": output.loss.item(),
    }
    (folder / "lora.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
