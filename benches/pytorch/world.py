"""The default study of pipelines/world, written with PyTorch and transformers as a user would who has neither samebasin nor
its source: same language, same models, same recipes, other random numbers.

It serves twice: as what the study would cost otherwise, and as an oracle. What it finds must agree with what samebasin finds
to within what pretraining seeds do, whatever the figures are. Results go to stdout, a JSON object a line.

    python world.py --pretraining 0 --rungs 0,100,300,600,1000,2000,6000 --seeds 6
"""

import argparse
import itertools
import json
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

PAD, CLS, SEP, MASK, WAS, BY, THAT, AND, COMMA = range(9)
PREPOSITIONS, MARKERS, NOUNS, VERBS = 9, 13, 17, 41
LENGTH = 10

# Slots of a sentence: A agent, B patient, C third noun, V and W verbs, P preposition; numbers are tokens.
AGENT_FIRST = ["A V B", "A P C V B", "A V B P C", f"A {THAT} W C V B", f"A {THAT} C W V B", f"A V B {AND} C"]
AGENT_LATER = [
    f"B {WAS} V {BY} A",
    f"P C {COMMA} A V B",
    f"B {COMMA} A V",
    f"B P C {WAS} V {BY} A",
    f"B {WAS} V {BY} A P C",
    f"B {THAT} W C {WAS} V {BY} A",
]
TEMPLATES = [t.split() for t in AGENT_FIRST + AGENT_LATER]
NAMES = ["act", "ppS", "ppO", "srel", "orel", "conj", "pas", "fpp", "top", "pasppP", "pasppA", "pasrel"]
FIRST = np.array([{"A": 0, "B": 1, "C": 2}[next(s for s in t if s in "ABC")] for t in TEMPLATES])

WEIGHT = np.arange(1, 7) ** -0.7
WEIGHT /= WEIGHT.sum()
SUBJECT = np.arange(12) % 4
OBJECT = (SUBJECT + 1 + (np.arange(12) // 4) % 3) % 4


def group(noun):
    return noun // 12


class World:
    """Sentences from latents, many at a time: every latent is an array of n integers."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def noun(self, classes):
        return classes * 6 + self.rng.choice(6, len(classes), p=WEIGHT)

    def near(self, classes):
        away = self.rng.random(len(classes)) >= 0.85
        return np.where(away, self.rng.integers(0, 24, len(classes)), self.noun(classes))

    def latents(self, template, marker):
        n = len(template)
        v = self.rng.integers(0, 12, n)
        w = (v + self.rng.integers(1, 12, n)) % 12
        a = self.near(SUBJECT[v])
        b = self.near(OBJECT[v])
        while (same := a == b).any():
            b[same] = self.near(OBJECT[v[same]])
        c = self.noun(OBJECT[w])
        while (same := (c == a) | (c == b)).any():
            c[same] = self.noun(OBJECT[w[same]])
        p = self.rng.integers(0, 4, n)
        return dict(t=template, m=marker, A=a, B=b, C=c, V=v, W=w, P=p)

    def text(self, n):
        return self.latents(self.rng.integers(0, 12, n), self.rng.integers(0, 4, n))

    def task(self, n, q, rho):
        later = self.rng.random(n) < q
        x = self.latents(self.rng.integers(0, 6, n) + 6 * later, np.zeros(n, int))
        right = self.rng.random(n) < rho
        y = group(x["A"])
        x["m"] = np.where(right, 1 + y, 2 - y)
        return x

    def ood(self, n, templates):
        kept = []
        while sum(len(k["t"]) for k in kept) < n:
            x = self.latents(self.rng.choice(templates, 4 * n), self.rng.integers(1, 3, 4 * n))
            first = np.choose(FIRST[x["t"]], [x["A"], x["B"], x["C"]])
            kept.append(select(x, group(first) != group(x["A"])))
        return {k: np.concatenate([x[k] for x in kept])[:n] for k in kept[0]}

    def other_group(self, noun, taken):
        new = noun.copy()
        while (bad := (group(new) == group(noun)) | np.any([new == t for t in taken], 0)).any():
            new[bad] = self.noun(self.rng.integers(0, 4, bad.sum()))
        return new

    def intervention(self, name, n=400):
        fixed = {"attribute": 1, "fronting": 1, "voice": 0, "role": 0}.get(name)
        t = np.full(n, fixed) if fixed is not None else self.rng.integers(0, 6, n) + 6 * (np.arange(n) >= n // 2)
        x = self.latents(t, np.full(n, 1 if name == "cue" else 0))
        y = dict(x)
        if name == "cue":
            y["m"] = np.full(n, 2)
        elif name in ("agent", "patient", "attribute"):
            slot = {"agent": "A", "patient": "B", "attribute": "C"}[name]
            y[slot] = self.other_group(x[slot], [x[s] for s in "ABC" if s != slot])
        elif name == "verb":
            new = x["V"].copy()
            while (bad := (SUBJECT[new] // 2 == SUBJECT[x["V"]] // 2) | (new == x["W"])).any():
                new[bad] = self.rng.integers(0, 12, bad.sum())
            y["V"] = new
        elif name == "synonym":
            new = x["A"].copy()
            while (bad := np.any([new == x[s] for s in "ABC"], 0)).any():
                new[bad] = self.noun(x["A"][bad] // 6)
            y["A"] = new
        elif name == "voice":
            y["t"] = np.full(n, 6)
        elif name == "fronting":
            y["t"] = np.full(n, 7)
        elif name == "role":
            y["A"], y["B"] = x["B"], x["A"]
        return tokens(x), tokens(y)


INTERVENTIONS = ["cue", "agent", "patient", "verb", "attribute", "synonym", "voice", "fronting", "role"]


def select(x, mask):
    return {k: v[mask] for k, v in x.items()}


def tokens(x):
    out = np.zeros((len(x["t"]), LENGTH), np.int64)
    out[:, 0] = CLS
    out[:, 1] = MARKERS + x["m"]
    base = {"A": NOUNS, "B": NOUNS, "C": NOUNS, "V": VERBS, "W": VERBS, "P": PREPOSITIONS}
    for t, slots in enumerate(TEMPLATES):
        rows = np.flatnonzero(x["t"] == t)
        for position, slot in enumerate(slots):
            out[rows, 2 + position] = base[slot] + x[slot][rows] if slot in base else int(slot)
    return torch.from_numpy(out)


def mask(ids, rng):
    hidden = torch.from_numpy(rng.random(ids.shape) < 0.25) & (ids > SEP)
    return ids.masked_fill(hidden, MASK), ids.masked_fill(~hidden, -100)


def pretrain(seed, rungs):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=53, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256,
        max_position_embeddings=16, initializer_range=0.1, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )
    model = BertForMaskedLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 100, (100 / (s + 1)) ** 0.5))
    world = World(1000 + seed)
    held, held_labels = mask(tokens(World(7).text(2048)), np.random.default_rng(8))
    ladder = {}
    for step in range(max(rungs) + 1):
        if step in rungs:
            with torch.no_grad():
                loss = model(input_ids=held, attention_mask=held != PAD, labels=held_labels).loss.item()
            ladder[step] = loss, {k: v.clone() for k, v in model.state_dict().items()}
        if step == max(rungs):
            return config, ladder
        ids, labels = mask(tokens(world.text(64)), world.rng)
        loss = model(input_ids=ids, attention_mask=ids != PAD, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def finetune(args, config, weights, train, labels, seed, lr, pooler):
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config)
    model.load_state_dict({k: v for k, v in weights.items() if k.startswith("bert.")}, strict=False)
    if pooler is not None:
        model.bert.pooler.load_state_dict(pooler)
    torch.nn.init.normal_(model.classifier.weight, std=0.02)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, args.beta2))
    steps, warmup = 300, 30
    rate = lambda s: (s + 1) / warmup if s < warmup else (steps - s) / (steps - warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    order = itertools.chain.from_iterable(torch.randperm(len(labels)).split(32) for _ in itertools.count())
    for _, rows in zip(range(steps), order):
        ids = train[rows]
        loss = F.cross_entropy(model(input_ids=ids, attention_mask=ids != PAD).logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=ids, attention_mask=ids != PAD).logits


def accuracy(z, y):
    return (z.argmax(-1) == y).float().mean().item()


def barrier(values):
    alphas = np.linspace(0, 1, len(values))
    return max(v - ((1 - a) * values[0] + a * values[-1]) for a, v in zip(alphas, values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(n) for n in text.split(",")]
    parser.add_argument("--pretraining", type=numbers, default=[0, 1, 2], help="pretraining seeds")
    parser.add_argument("--rungs", type=numbers, default=[0, 100, 300, 600, 1000, 2000, 6000])
    parser.add_argument("--arms", default="base,lr3e-3,lr1e-2,ambiguous")
    parser.add_argument("--seeds", type=int, default=6, help="fine-tuning seeds")
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pooler", choices=["shared", "fresh"], default="shared")
    parser.add_argument("--beta2", type=float, default=0.98, help="of fine-tuning")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    arms = {"base": (1e-3, 0.05), "lr3e-3": (3e-3, 0.05), "lr1e-2": (1e-2, 0.05), "ambiguous": (1e-3, 0.0)}

    def label(x):
        return torch.from_numpy(group(x["A"]))

    sets = {}
    for q in (0.05, 0.0):
        world = World(11)
        sets[q] = {name: (tokens(x), label(x)) for name, x in (("train", world.task(4000, q, 0.9)), ("id", world.task(1000, q, 0.9)))}
        world = World(12)
        ood = world.ood(800, np.arange(6, 12))
        sets[q]["ood"] = tokens(ood), label(ood)
        for case in (6, 7, 8, 10):
            x = world.ood(300, np.array([case]))
            sets[q][NAMES[case]] = tokens(x), label(x)
    world = World(13)
    interventions = {name: world.intervention(name) for name in INTERVENTIONS}

    for seed in args.pretraining:
        started = time.time()
        config, ladder = pretrain(seed, args.rungs)
        print(json.dumps({"pretraining": seed, "seconds": time.time() - started, "loss": {k: v[0] for k, v in ladder.items()}}), flush=True)
        torch.manual_seed(99)
        pooler = None if args.pooler == "fresh" else BertForSequenceClassification(config).bert.pooler.state_dict()
        for arm in args.arms.split(","):
            lr, q = arms[arm]
            train, labels = sets[q]["train"]
            for rung in args.rungs if arm == "base" else [min(args.rungs), max(args.rungs)]:
                started = time.time()
                models = [finetune(args, config, ladder[rung][1], train, labels, s, lr, pooler) for s in range(args.seeds)]
                row = {"pretraining": seed, "arm": arm, "rung": rung}
                z = {split: torch.stack([logits(m, sets[q][split][0]) for m in models]) for split in sets[q] if split != "train"}
                for split in z:
                    accuracies = [accuracy(zm, sets[q][split][1]) for zm in z[split]]
                    row[f"{split}_accuracy"] = float(np.mean(accuracies))
                    row[f"{split}_sd"] = float(np.std(accuracies, ddof=1))
                row["agreement"] = float(np.mean([(a.argmax(-1) == b.argmax(-1)).float().mean() for a, b in itertools.combinations(z["ood"], 2)]))
                for name, (x, y) in interventions.items():
                    moved = [(logits(m, x).softmax(-1) - logits(m, y).softmax(-1))[:, 1].abs().mean().item() for m in models]
                    row[f"do_{name}"] = float(np.mean(moved))
                barriers, distances = {"id_ce": [], "ood_error": []}, []
                walker = BertForSequenceClassification(config).eval()
                states = [m.state_dict() for m in models]
                for a, b in itertools.combinations(range(args.seeds), 2):
                    squares = [((states[a][k] - states[b][k]).double() ** 2).sum() for k in states[a]]
                    distances.append(sum(squares).sqrt().item())
                    ce, error = [], []
                    for alpha in np.linspace(0, 1, args.points):
                        walker.load_state_dict({k: torch.lerp(states[a][k], states[b][k], float(alpha)) for k in states[a]})
                        ids, y = sets[q]["id"]
                        ce.append(F.cross_entropy(logits(walker, ids), y).item())
                        ids, y = sets[q]["ood"]
                        error.append(1 - accuracy(logits(walker, ids), y))
                    barriers["id_ce"].append(barrier(ce))
                    barriers["ood_error"].append(barrier(error))
                row["weight_distance"] = float(np.mean(distances))
                row |= {f"{k}_barrier": float(np.mean(v)) for k, v in barriers.items()}
                walker.load_state_dict({k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]})
                ids, y = sets[q]["ood"]
                row["soup_gain"] = accuracy(logits(walker, ids), y) - row["ood_accuracy"]
                row["seconds"] = time.time() - started
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
