"""Makes the fixtures of crates/weights/tests/mergekit.rs with mergekit 0.1.5.

    pip install mergekit==0.1.5
    python tests/mergekit/make.py [FAMILY ...]

Three tiny checkpoints (Llama; Qwen2 with biases and tied embeddings; BERT), each with a base and three fine-tunes, and
what mergekit makes of them in every case of CASES. `<family>.safetensors` holds all of them: a tensor `w` of model `m` as
`m/w`, and what a case makes as one vector, its tensors in order of their names; `cases.json` says what each case is in samebasin's words. Masks are random: of DARE and DELLA
`statistics.json` says instead what becomes of a large normal tensor.
"""

import json
import pathlib
import sys
import tempfile

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from mergekit.sparsify import RescaleNorm, bernoulli, della_magprune
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SMALL = dict(hidden_size=4, intermediate_size=6, num_hidden_layers=3, num_attention_heads=2, vocab_size=10)
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=1, max_position_embeddings=8)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**SMALL, num_key_value_heads=1, max_position_embeddings=8, tie_word_embeddings=True)
    ),
    "bert": lambda: BertForSequenceClassification(BertConfig(**SMALL, max_position_embeddings=8)),
}

GRADIENT = [0.2, 0.9]
FILTERED = [{"filter": "mlp", "value": [0.3, 0.8]}, {"filter": "attention", "value": 0.9}, {"value": 0.5}]
# case: (mergekit's method, samebasin's method, members, base, values by mergekit's name)
CASES = {
    "linear": ("linear", "linear", "abc", False, {"weight": [0.5, 1.0, 2.0]}),
    "task": ("task_arithmetic", "task-arithmetic", "abc", True, {"weight": [0.5, 1.0, 2.0], "lambda": 0.7}),
    "task-gradient": ("task_arithmetic", "task-arithmetic", "ab", True, {"weight": [1.0, 1.0], "lambda": GRADIENT}),
    "task-filter": ("task_arithmetic", "task-arithmetic", "ab", True, {"weight": [1.0, 1.0], "lambda": FILTERED}),
    "ties": ("ties", "ties", "abc", True, {"weight": [1.0, 1.0, 1.0], "density": [0.3, 0.5, 0.8], "lambda": 0.9}),
    "ties-weighed": ("ties", "ties", "abc", True, {"weight": [0.5, 1.0, 2.0], "density": [0.5, 0.5, 0.5]}),
    "slerp": ("slerp", "slerp", "ab", False, {"t": 0.3}),
    "nuslerp": ("nuslerp", "nuslerp", "ab", False, {"weight": [1.0, 3.0]}),
    "nuslerp-base": ("nuslerp", "nuslerp", "ab", True, {"weight": [1.0, 3.0]}),
    "multislerp": ("multislerp", "multislerp", "abc", False, {"weight": [0.5, 1.0, 2.0]}),
    "multislerp-base": ("multislerp", "multislerp", "abc", True, {"weight": [0.5, 1.0, 2.0]}),
    "karcher": ("karcher", "karcher", "abc", False, {}),
    "stock": ("model_stock", "model-stock", "abc", True, {}),
    "breadcrumbs": (
        "breadcrumbs", "breadcrumbs", "abc", True,
        {"weight": [1.0, 0.5, 1.0], "density": [0.5, 0.6, 0.7], "gamma": [0.1, 0.2, 0.1]},
    ),
    "breadcrumbs-ties": (
        "breadcrumbs_ties", "breadcrumbs-ties", "abc", True,
        {"weight": [1.0, 0.5, 1.0], "density": [0.5, 0.6, 0.7], "gamma": [0.1, 0.2, 0.1]},
    ),
    "sce": ("sce", "sce", "abc", True, {"select_topk": 0.6}),
    "arcee": ("arcee_fusion", "arcee-fusion", "a", True, {}),
    "nearswap": ("nearswap", "nearswap", "a", True, {"t": 0.05}),
}
OURS = {"lambda": "scale", "select_topk": "density"}


def models(make, folder):
    """A base and three models around it, saved as transformers saves them."""
    torch.manual_seed(0)
    base = make()
    states = {"base": {name: torch.randn_like(value) for name, value in base.state_dict().items() if value.is_floating_point()}}
    for seed, name in enumerate("abc", start=1):
        generator = torch.Generator().manual_seed(seed)
        states[name] = {
            key: value + 0.3 * torch.randn(value.shape, generator=generator) for key, value in states["base"].items()
        }
    for name, state in states.items():
        model = make()
        model.load_state_dict(state, strict=False)
        model.tie_weights()
        model.save_pretrained(folder / name)
    return {name: load_file(folder / name / "model.safetensors") for name in states}


def merge(folder, case):
    """The tensors that mergekit makes."""
    method, _, members, has_base, values = CASES[case]
    per_model = {name: value for name, value in values.items() if name in ("weight", "density", "gamma")}
    shared = {name: value for name, value in values.items() if name not in per_model}
    config = {
        "merge_method": method,
        "dtype": "float32",
        "models": [
            {
                "model": str(folder / member),
                "parameters": {name: value[place] for name, value in per_model.items()},
            }
            for place, member in enumerate(members)
        ],
        "parameters": shared,
    }
    if has_base:
        config["base_model"] = str(folder / "base")
    if method == "slerp":
        config["base_model"] = str(folder / members[0])
    out = folder / f"out-{case}"
    run_merge(
        MergeConfiguration.model_validate(yaml.safe_load(yaml.safe_dump(config))),
        str(out),
        MergeOptions(copy_tokenizer=False, write_model_card=False),
    )
    merged = {}
    for file in sorted(out.glob("*.safetensors")):
        merged.update(load_file(file))
    return merged


def ours(case):
    """The case in samebasin's words."""
    _, method, members, has_base, values = CASES[case]
    renamed = {}
    for name, value in values.items():
        name = {"slerp": "alpha", "nearswap": "step"}.get(method, name) if name == "t" else OURS.get(name, name)
        per_model = name in ("weight", "gamma") or (name == "density" and method != "sce")
        renamed[name] = value if per_model else [value]
    if method == "ties":
        renamed["trim"] = ["tensor"]
    if method in ("task-arithmetic", "breadcrumbs", "breadcrumbs-ties"):
        renamed.setdefault("scale", [1.0])
    return {"case": case, "method": method, "members": list(members), "base": has_base, "values": renamed}


def statistics():
    """Of a normal tensor of 64 rows and 4096 columns: the share kept in each tenth of magnitudes of a row, and the sum of
    magnitudes after the mask over that before."""
    torch.manual_seed(0)
    tensor = torch.randn(64, 4096)
    ranks = tensor.abs().argsort(dim=1).argsort(dim=1) * 10 // 4096

    def of(thinned):
        kept = thinned != 0
        return {
            "kept": [round(kept[ranks == tenth].float().mean().item(), 4) for tenth in range(10)],
            "ratio": round((thinned.abs().sum() / tensor.abs().sum()).item(), 4),
        }

    return {
        "dare": of(bernoulli(tensor, 0.4, RescaleNorm.l1)),
        "della": of(della_magprune(tensor, 0.4, 0.2, RescaleNorm.l1)),
    }


def main():
    FIXTURES.mkdir(exist_ok=True)
    for family in sys.argv[1:] or FAMILIES:
        make = FAMILIES[family]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            tensors = {
                f"{model}/{name}": value for model, state in models(make, folder).items() for name, value in state.items()
            }
            for case in CASES:
                merged = merge(folder, case)
                tensors[case] = torch.cat([merged[name].float().flatten() for name in sorted(merged)])
            save_file(tensors, FIXTURES / f"{family}.safetensors")
    (FIXTURES / "cases.json").write_text(json.dumps([ours(case) for case in CASES], indent=1) + "\n")
    (FIXTURES / "statistics.json").write_text(json.dumps(statistics(), indent=1) + "\n")


main()
