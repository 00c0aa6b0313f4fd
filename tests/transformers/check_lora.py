"""Opens an adapter that samebasin wrote with peft, on top of its checkpoint, and compares logits with those of the merged model.

    pip install torch transformers peft
    samebasin store export LADDER base && mv base/step-6000.safetensors base/model.safetensors
    samebasin store export RUN merged
    python tests/transformers/check_lora.py base merged

Exits with 1 if any logit differs by more than 1e-4, or the adapter lacks a tensor.
"""

import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification


def main():
    base, merged = sys.argv[1:]
    warnings.filterwarnings("error", message=".*missing adapter keys.*")
    config = AutoConfig.from_pretrained(merged)
    theirs = AutoModelForSequenceClassification.from_pretrained(base, config=config)
    theirs = PeftModel.from_pretrained(theirs, f"{merged}/adapter").eval()
    ours = AutoModelForSequenceClassification.from_pretrained(merged).eval()
    ids = torch.randint(5, config.vocab_size, (16, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # One by one: a decoder of ours knows no token that pads.
        logits = [torch.cat([model(row[None]).logits for row in ids]) for model in (theirs, ours)]
    difference, spread = (logits[0] - logits[1]).abs().max().item(), logits[1].std().item()
    print(f"{config.model_type}: largest difference of a logit {difference:.1e}, their standard deviation {spread:.1e}")
    sys.exit(difference > 1e-4)


if __name__ == "__main__":
    main()
