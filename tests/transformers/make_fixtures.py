"""Makes the fixtures that hold samebasin's encoders, decoders and T5 to PyTorch transformers.

    pip install torch transformers
    python tests/transformers/make_fixtures.py [FAMILY ...]

Writes a folder for each family: config.json, model.safetensors (a tiny random sequence classifier, its norms and
biases moved off their defaults so that each of them counts), mlm.safetensors (a language model of the same shape, masked,
causal or from sequence to sequence), the gradients of both, and expected.json: packed inputs, logits, losses, and mean
losses under dropout, which tell where units are dropped.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GPTNeoXForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    Olmo2Config,
    Olmo2ForCausalLM,
    Olmo2ForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    T5ForSequenceClassification,
)
from transformers.models.t5.modeling_t5 import T5Attention

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


def published_name(model, name):
    """GPT-NeoX checkpoints call the language head so; transformers 5 renames it as it reads."""
    return name.replace("lm_head.", "embed_out.") if model.config.model_type == "gpt_neox" else name


def gradients(model):
    return {
        published_name(model, name): parameter.grad.contiguous()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def mean_under_dropout(model, **inputs):
    """Mean loss in training mode over REPEATS passes of COPIES batches, and its standard error.

    Parameters are doubled, so that much depends on what is dropped. To be called last.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPPED
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = DROPPED
        if isinstance(module, T5Attention):
            module.dropout = DROPPED
    model.train()
    inputs = {name: torch.cat([value] * COPIES) for name, value in inputs.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        losses = torch.tensor([model(**inputs).loss.item() for _ in range(REPEATS)], dtype=torch.float64)
    return {"mean": losses.mean().item(), "error": (losses.std() / REPEATS**0.5).item()}


def tensors(model):
    """Named parameters, each once: the tied decoder is the word embedding."""
    return {published_name(model, name): parameter.detach().contiguous() for name, parameter in model.named_parameters()}


SHAPE = dict(
    vocab_size=40, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3, initializer_range=0.1,
    attn_implementation="eager",
)


DECODER = dict(num_labels=3, initializer_range=0.1, pad_token_id=0, attn_implementation="eager")


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
    gpt2 = GPT2Config(
        vocab_size=40, n_embd=24, n_layer=2, n_head=3, n_inner=48, n_positions=16, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, scale_attn_by_inverse_layer_idx=True, **DECODER,
    )
    make("gpt2", gpt2, GPT2ForSequenceClassification, GPT2LMHeadModel)
    shape = dict(
        vocab_size=40, hidden_size=24, num_hidden_layers=2, intermediate_size=48, max_position_embeddings=16, **DECODER
    )
    for family, is_parallel in [("gpt_neox", True), ("gpt_neox_sequential", False)]:
        rotations = {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5}
        gpt_neox = GPTNeoXConfig(
            num_attention_heads=3, use_parallel_residual=is_parallel, rope_parameters=rotations, **shape
        )
        make(family, gpt_neox, GPTNeoXForSequenceClassification, GPTNeoXForCausalLM)
    rotations = {"rope_type": "default", "rope_theta": 50.0}
    llama = LlamaConfig(num_attention_heads=4, num_key_value_heads=2, head_dim=8, rope_parameters=rotations, **shape)
    make("llama", llama, LlamaForSequenceClassification, LlamaForCausalLM)
    # Of four planes, one turns as before, one is between, and two are divided.
    scaled = dict(
        rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
    )
    longer = LlamaConfig(
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, rope_parameters={**rotations, **scaled}, **shape
    )
    make("llama3", longer, LlamaForSequenceClassification, LlamaForCausalLM)
    olmo2 = Olmo2Config(num_attention_heads=4, num_key_value_heads=2, rope_parameters=rotations, **shape)
    make("olmo2", olmo2, Olmo2ForSequenceClassification, Olmo2ForCausalLM)
    # Heads that are narrower together than the stream, and distances beyond the largest that has a bias of its own.
    shape = dict(
        vocab_size=40, d_model=24, d_kv=6, d_ff=48, num_layers=2, num_heads=3, relative_attention_num_buckets=8,
        relative_attention_max_distance=12, dropout_rate=0.0, num_labels=3, decoder_start_token_id=0,
        attn_implementation="eager",
    )
    make_t5("t5", T5Config(**shape))
    later = dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=3)
    make_t5("t5_v1_1", T5Config(**shape, **later))


def make(family, config, classifier_class, language_class):
    if sys.argv[1:] and family not in sys.argv[1:]:
        return
    is_causal = config.model_type in ("gpt2", "gpt_neox", "llama", "olmo2")
    torch.manual_seed(0)
    out = HERE / family
    lengths = [5, 9, 3, 16]
    ids = [torch.randint(4, 40, (n,)) for n in lengths]
    if is_causal:
        # A token that pads as part of a sequence: classifiers look at the one before.
        ids[1][-1] = config.pad_token_id
    second = getattr(config, "type_vocab_size", 1) - 1
    types = [torch.tensor([0] * (n // 2) + [second] * (n - n // 2)) for n in lengths]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=config.pad_token_id)
    padded_types = torch.nn.utils.rnn.pad_sequence(types, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n, dtype=torch.long) for n in lengths], batch_first=True)
    labels = torch.tensor([0, 2, 1, 2])

    classifier = classifier_class(config).eval()
    disturb(classifier)
    segments = {} if family == "distilbert" or is_causal else {"token_type_ids": padded_types}
    classified = dict(input_ids=padded, attention_mask=mask, labels=labels, **segments)
    output = classifier(**classified)
    output.loss.backward()

    mlm = language_class(config).eval()
    disturb(mlm)
    targets = torch.full_like(padded, IGNORED)
    if is_causal:
        chosen = [(row, column) for row, n in enumerate(lengths) for column in range(n - 1)]
        for row, n in enumerate(lengths):
            targets[row, :n] = ids[row]
    else:
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
        "masked_labels": [targets[row, column + is_causal].item() for row, column in chosen],
        "masked_loss": masked.loss.item(),
        "masked_log_probabilities": [masked.logits[place].log_softmax(-1).tolist() for place in chosen],
    }
    write(out, expected, (classifier, classified), (mlm, restored))


def write(out, expected, classified, restored):
    """Writes both models with what is expected of them; after that they are changed."""
    out.mkdir(exist_ok=True)
    (classifier, classifier_inputs), (mlm, mlm_inputs) = classified, restored
    (out / "config.json").write_text(classifier.config.to_json_string())
    save_file(tensors(classifier), out / "model.safetensors", metadata={"format": "pt"})
    save_file(tensors(mlm), out / "mlm.safetensors", metadata={"format": "pt"})
    save_file(gradients(classifier), out / "model_gradients.safetensors", metadata={"format": "pt"})
    save_file(gradients(mlm), out / "mlm_gradients.safetensors", metadata={"format": "pt"})
    expected["dropped_loss"] = mean_under_dropout(classifier, **classifier_inputs)
    expected["masked_dropped_loss"] = mean_under_dropout(mlm, **mlm_inputs)
    (out / "expected.json").write_text(json.dumps(expected) + "\n")


def make_t5(family, config):
    """Sequences are padded on the left and on the right by turns: positions are relative, and the padding is not seen."""
    if sys.argv[1:] and family not in sys.argv[1:]:
        return
    torch.manual_seed(0)
    lengths, target_lengths = [5, 9, 3, 16], [4, 1, 13, 6]
    ids = [torch.randint(4, 40, (n,)) for n in lengths]
    targets = [torch.randint(4, 40, (n,)) for n in target_lengths]
    # Each sequence ends twice, as a pair does; one goes on behind its end.
    for row, n in enumerate(lengths):
        ids[row][n // 2] = config.eos_token_id
        ids[row][n - 1 - (row == 1)] = config.eos_token_id
    longest = max(lengths)
    padded, mask = torch.zeros(4, longest, dtype=torch.long), torch.zeros(4, longest, dtype=torch.long)
    for row, n in enumerate(lengths):
        place = slice(0, n) if row % 2 == 0 else slice(longest - n, longest)
        padded[row, place], mask[row, place] = ids[row], 1
    labels = torch.tensor([0, 2, 1, 2])

    classifier = T5ForSequenceClassification(config).eval()
    disturb(classifier)
    # The decoder's input begins with a token that is the padding: of what is padded on the left, the last piece of it.
    classified = dict(input_ids=padded, attention_mask=mask, decoder_attention_mask=mask, labels=labels)
    output = classifier(**classified)
    output.loss.backward()

    language = T5ForConditionalGeneration(config).eval()
    if not config.scale_decoder_outputs:
        # Transformers 5 ties the head whatever it is told, until it reads one that is another.
        language.lm_head.weight = torch.nn.Parameter(torch.randn(40, 24))
    disturb(language)
    padded_targets = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORED)
    restored = dict(input_ids=padded, attention_mask=mask, labels=padded_targets)
    told = language(**restored)
    told.loss.backward()

    def starts(lengths):
        return [sum(lengths[:i]) for i in range(len(lengths) + 1)]

    expected = {
        "ids": torch.cat(ids).tolist(),
        "types": [0] * sum(lengths),
        "starts": starts(lengths),
        "labels": labels.tolist(),
        "logits": output.logits.tolist(),
        "loss": output.loss.item(),
        "masked_rows": [],
        "masked_labels": torch.cat(targets).tolist(),
        "target_starts": starts(target_lengths),
        "masked_loss": told.loss.item(),
        "masked_log_probabilities": [
            told.logits[row, column].log_softmax(-1).tolist() for row, n in enumerate(target_lengths) for column in range(n)
        ],
    }
    write(HERE / family, expected, (classifier, classified), (language, restored))


if __name__ == "__main__":
    main()
