"""Makes the fixtures that hold samebasin's encoder to PyTorch transformers.

    pip install torch transformers
    python tests/transformers/make_fixtures.py

Writes tests/transformers/bert/: config.json, model.safetensors (a tiny random BertForSequenceClassification, its
LayerNorms and biases moved off their defaults so that each of them counts), mlm.safetensors (a BertForMaskedLM of
the same body), and expected.json: packed inputs, logits, losses, and the norm and first values of every parameter's
gradient.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

OUT = pathlib.Path(__file__).parent / "bert"
IGNORED = -100


def disturb(model):
    """Random values for every parameter: defaults (zeros and ones) would hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def gradients(model):
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            flat = parameter.grad.double().flatten()
            found[name] = {"norm": flat.norm().item(), "first": flat[:8].tolist()}
    return found


def tensors(model):
    """Named parameters, each once: the tied decoder is the word embedding."""
    return {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}


def main():
    torch.manual_seed(0)
    OUT.mkdir(exist_ok=True)
    config = BertConfig(
        vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
        max_position_embeddings=16, type_vocab_size=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        num_labels=3, initializer_range=0.1, attn_implementation="eager",
    )
    lengths = [5, 9, 3, 16]
    ids = [torch.randint(4, 40, (n,)) for n in lengths]
    types = [torch.tensor([0] * (n // 2) + [1] * (n - n // 2)) for n in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    padded_types = torch.nn.utils.rnn.pad_sequence(types, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True)
    labels = torch.tensor([0, 2, 1, 2])

    classifier = BertForSequenceClassification(config).eval()
    disturb(classifier)
    output = classifier(padded, attention_mask=mask, token_type_ids=padded_types, labels=labels)
    output.loss.backward()

    mlm = BertForMaskedLM(config).eval()
    disturb(mlm)
    targets = torch.full_like(padded, IGNORED)
    chosen = [(0, 1), (0, 4), (1, 2), (1, 8), (2, 0), (3, 7), (3, 15)]
    for row, column in chosen:
        targets[row, column] = (7 * row + column) % 40
    masked = mlm(padded, attention_mask=mask, token_type_ids=padded_types, labels=targets)
    masked.loss.backward()

    starts = [0]
    for n in lengths:
        starts.append(starts[-1] + n)
    expected = {
        "ids": torch.cat(ids).tolist(),
        "types": torch.cat(types).tolist(),
        "starts": starts,
        "labels": labels.tolist(),
        "logits": output.logits.tolist(),
        "loss": output.loss.item(),
        "gradients": gradients(classifier),
        "masked_rows": [starts[row] + column for row, column in chosen],
        "masked_labels": [targets[row, column].item() for row, column in chosen],
        "masked_loss": masked.loss.item(),
        "masked_gradients": gradients(mlm),
    }
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")
    (OUT / "config.json").write_text(classifier.config.to_json_string())
    save_file(tensors(classifier), OUT / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors(mlm), OUT / "mlm.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
