"""Loads decoders and T5 that samebasin wrote with transformers, and compares the logits of each sequence.

    pip install torch transformers
    SAMEBASIN_WRITTEN=/tmp/written cargo test --release -p samebasin-models --test transformers written
    python tests/transformers/check_written.py /tmp/written

Exits with 1 if any logit differs by more than 1e-4 or any tensor is missing or unknown.
"""

import json
import pathlib
import sys

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)


def main():
    is_off = False
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        config = AutoConfig.from_pretrained(folder)
        architecture = config.architectures[0]
        is_classifier = architecture.endswith("ForSequenceClassification")
        language = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        kind = AutoModelForSequenceClassification if is_classifier else language
        # Of what a target begins with.
        more = {"decoder_input_ids": torch.tensor([[config.decoder_start_token_id]])} if kind is AutoModelForSeq2SeqLM else {}
        model, report = kind.from_pretrained(folder, output_loading_info=True)
        assert type(model).__name__ == architecture
        ours = json.loads((folder / "ours.json").read_text())
        theirs = []
        for start, end in zip(ours["starts"], ours["starts"][1:]):
            with torch.no_grad():
                logits = model.eval()(torch.tensor([ours["ids"][start:end]]), **more).logits[0]
            theirs.append(logits if is_classifier else logits[-1])
        difference = (torch.cat(theirs) - torch.tensor(ours["logits"])).abs().max().item()
        strange = {name: value for name, value in report.items() if value}
        print(f"{folder.name:<24} {architecture:<34} largest difference {difference:.1e} {strange or ''}")
        is_off |= difference > 1e-4 or bool(strange)
    sys.exit(is_off)


if __name__ == "__main__":
    main()
