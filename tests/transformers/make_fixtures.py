"""Makes the fixtures that hold samebasin's encoder to PyTorch transformers.

    pip install torch transformers
    python tests/transformers/make_fixtures.py

Writes a folder for each family: config.json, model.safetensors (a tiny random sequence classifier, its LayerNorms and
biases moved off their defaults so that each of them counts), mlm.safetensors (a masked language model of the same
shape), the gradients of both, and expected.json: packed inputs, logits, losses, and mean losses under dropout, which
tell where units are dropped.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

HERE = pathlib.Path(__file__).parent
IGNORED = -100
DROPPED = 0.4
REPEATS = 1500
COPIES = 32


def disturb(model):
    """Random values for every parameter: defaults (zeros and ones) would hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def gradients(model):
    return {name: parameter.grad.contiguous() for name, parameter in model.named_parameters() if parameter.grad is not None}


def mean_under_dropout(model, **inputs):
    """Mean loss in training mode over REPEATS passes of COPIES batches, and its standard error.

    Parameters are doubled, so that much depends on what is dropped. To be called last.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPPED
    model.train()
    inputs = {name: torch.cat([value] * COPIES) for name, value in inputs.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        losses = torch.tensor([model(**inputs).loss.item() for _ in range(REPEATS)], dtype=torch.float64)
    return {"mean": losses.mean().item(), "error": (losses.std() / REPEATS**0.5).item()}


def tensors(model):
    """Named parameters, each once: the tied decoder is the word embedding."""
    return {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}


SHAPE = dict(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3, initializer_range=0.1,
    attn_implementation="eager",
)


def main():
    bert = BertConfig(max_position_embeddings=16, type_vocab_size=2, **SHAPE)
    make("bert", bert, BertForSequenceClassification, BertForMaskedLM)
    roberta = RobertaConfig(max_position_embeddings=18, type_vocab_size=1, layer_norm_eps=1e-5, **SHAPE)
    distilbert = DistilBertConfig(
        vocab_size=40, dim=24, n_layers=2, n_heads=3, hidden_dim=48, max_position_embeddings=16, dropout=0.0,
        attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=3, initializer_range=0.1, attn_implementation="eager",
    )
    make("distilbert", distilbert, DistilBertForSequenceClassification, DistilBertForMaskedLM)
    make("roberta", roberta, RobertaForSequenceClassification, RobertaForMaskedLM)


def make(family, config, classifier_class, masked_class):
    torch.manual_seed(0)
    out = HERE / family
    out.mkdir(exist_ok=True)
    lengths = [5, 9, 3, 16]
    ids = [torch.randint(4, 40, (n,)) for n in lengths]
    second = getattr(config, "type_vocab_size", 1) - 1
    types = [torch.tensor([0] * (n // 2) + [second] * (n - n // 2)) for n in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=config.pad_token_id)
    padded_types = torch.nn.utils.rnn.pad_sequence(types, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True)
    labels = torch.tensor([0, 2, 1, 2])

    classifier = classifier_class(config).eval()
    disturb(classifier)
    segments = {} if family == "distilbert" else {"token_type_ids": padded_types}
    classified = dict(input_ids=padded, attention_mask=mask, labels=labels, **segments)
    output = classifier(**classified)
    output.loss.backward()

    mlm = masked_class(config).eval()
    disturb(mlm)
    targets = torch.full_like(padded, IGNORED)
    chosen = [(0, 1), (0, 4), (1, 2), (1, 8), (2, 0), (3, 7), (3, 15)]
    for row, column in chosen:
        targets[row, column] = (7 * row + column) % 40
    restored = dict(input_ids=padded, attention_mask=mask, labels=targets, **segments)
    masked = mlm(**restored)
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
        "masked_rows": [starts[row] + column for row, column in chosen],
        "masked_labels": [targets[row, column].item() for row, column in chosen],
        "masked_loss": masked.loss.item(),
        "masked_log_probabilities": [masked.logits[place].log_softmax(-1).tolist() for place in chosen],
    }
    (out / "config.json").write_text(classifier.config.to_json_string())
    save_file(tensors(classifier), out / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors(mlm), out / "mlm.safetensors", metadata={"format": "pt"})
    save_file(gradients(classifier), out / "model_gradients.safetensors", metadata={"format": "pt"})
    save_file(gradients(mlm), out / "mlm_gradients.safetensors", metadata={"format": "pt"})
    expected["dropped_loss"] = mean_under_dropout(classifier, **classified)
    expected["masked_dropped_loss"] = mean_under_dropout(mlm, **restored)
    (out / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
