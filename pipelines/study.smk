# The stages of pipelines/study.mk under Snakemake: the same commands, the same refs, the same object ids.
#
#   make --silent -C pipelines/world print-study > world.json     # a study is written once, as a Makefile
#   snakemake --snakefile pipelines/study.smk --configfile world.json --cores 2
#   snakemake --snakefile pipelines/study.smk --configfile world.json --profile pipelines/profiles/slurm
#
# GPUS=1 (snakemake --config GPUS=1) asks for a GPU for every stage that runs models. Every stage is safe to run twice: a second
# process waits for the first and finds its result. So a lost head node, or a requeued job, costs nothing that was finished.

import os

STORE, OUT, BIN, STUDY = (config[name] for name in ("STORE", "OUT", "BIN", "STUDY"))
REFS = f"{STORE}/refs/{STUDY}"
THREADS = int(config.get("THREADS", 1))
GPU = {"gpu": int(config["GPUS"])} if int(config.get("GPUS", 0)) else {}


def flags(name):
    """The flags in a variable of the study; none where it is not set."""
    return config.get(name, "")


def words(name):
    return flags(name).split()


GROUPS, SEEDS, METHODS = words("GROUPS"), words("FINETUNING"), words("METHODS")
LINE_GROUPS = words("LINE_GROUPS")
LADDERS = sorted({group.split(".")[0] for group in GROUPS})
RUNGS = ",".join(words("RUNGS"))


def seeds_of(group):
    """The fine-tuning seeds of a group: its arm may have seeds of its own."""
    return words(f"FINETUNING.{group.split('.')[2]}") or SEEDS


# `list(set(...))` has no fixed order: names of results do.
RUNS = [f"{group}.{seed}" for group in GROUPS for seed in seeds_of(group)]
SOUPS = [f"{group}.{method}" for method in METHODS for group in GROUPS]
RESULTS = (
    [f"ladder/{ladder}" for ladder in LADDERS]
    + [f"run/{run}" for run in RUNS]
    + [f"lines/{group}" for group in LINE_GROUPS]
    + [f"soup/{soup}" for soup in SOUPS]
    + [f"scores/{result}" for result in RUNS + SOUPS]
)


def ref(*path):
    return f"{REFS}/" + "/".join(path) + ".json"


def named(files):
    """Refs as stages take them, of the files that Snakemake watches."""
    names = [files] if isinstance(files, str) else files
    return " ".join(str(name).removeprefix(f"{STORE}/refs/").removesuffix(".json") for name in names)


def command(stage, wildcards_ref):
    """The start of every stage's command line."""
    return (
        f"{BIN}/samebasin-{stage} --store {STORE} --threads {THREADS} --quiet "
        f"--ref {STUDY}/{wildcards_ref}"
    )


def task_of(wildcards):
    return ref("task", flags(f"TASK.{wildcards.group.split('.')[2]}"))


wildcard_constraints:
    group=r"[^./]+\.[^./]+\.[^./]+",
    seed="|".join(sorted({run.split(".")[3] for run in RUNS})),
    method="|".join(METHODS) or "-",
    name="[^/]+",


localrules:
    study,


rule study:
    default_target: True
    input:
        ref("report"),


rule data:
    output:
        ref("data", "{name}"),
    params:
        command=lambda w: f"{command('fetch', f'data/{w.name}')} dataset {flags(f'DATA.{w.name}')}",
    shell:
        "{params.command} >/dev/null"


rule task:
    input:
        [ref("data", name) for name in words("DATA")],
    output:
        ref("task", "{name}"),
    params:
        command=lambda w: f"{command('prepare', f'task/{w.name}')} {flags(f'PREPARE.{w.name}')}",
    shell:
        "{params.command} >/dev/null"


rule corpus:
    output:
        ref("corpus", "{name}"),
    params:
        command=lambda w: f"{command('prepare', f'corpus/{w.name}')} {flags(f'CORPUS.{w.name}')}",
    shell:
        "{params.command} >/dev/null"


if flags("FETCH"):

    rule rungs:
        output:
            ref("rungs", "{name}"),
        params:
            command=lambda w: f"{command('fetch', f'rungs/{w.name}')} ladder "
            + flags("FETCH").replace("{seed}", w.name)
            + f" --rungs {RUNGS}",
        shell:
            "{params.command} >/dev/null"

    rule ladder:
        input:
            ref("rungs", "{name}"),
            [ref("data", name) for name in words("DATA")],
        output:
            ref("ladder", "{name}"),
        threads: THREADS
        resources:
            **GPU,
        params:
            command=lambda w, input: f"{command('gauge', f'ladder/{w.name}')} --ladder {named(input[0])} "
            f"--seed {w.name} {flags('GAUGE')} {flags('COMPUTE')}",
        shell:
            "{params.command} >/dev/null"

else:

    rule ladder:
        input:
            corpora=[ref("corpus", name) for name in words("CORPUS")],
            images=[ref("task", name) for name in words("IMAGES")],
        output:
            ref("ladder", "{name}"),
        threads: THREADS
        resources:
            **GPU,
        params:
            command=lambda w, input: f"{command('pretrain', f'ladder/{w.name}')} {flags('LADDER')} "
            + "".join(f"--corpus {named(corpus)} " for corpus in input.corpora)
            + "".join(f"--images {named(images)} " for images in input.images)
            + f"--checkpoints {RUNGS} --seed {w.name} {flags('COMPUTE')}",
        shell:
            "{params.command} >/dev/null"


rule finetune:
    input:
        ladder=lambda w: ref("ladder", w.group.split(".")[0]),
        task=task_of,
    output:
        ref("run", "{group}.{seed}"),
    group:
        "cell"
    threads: THREADS
    resources:
        **GPU,
    params:
        command=lambda w, input: f"{command('finetune', f'run/{w.group}.{w.seed}')} "
        f"--checkpoint {named(input.ladder)}:step-{w.group.split('.')[1]} --task {named(input.task)} "
        f"--seed {w.seed} {flags('FLAGS.' + w.group.split('.')[2])} {flags('COMPUTE')}",
    shell:
        "{params.command} >/dev/null"


rule interpolate:
    input:
        runs=lambda w: [ref("run", f"{w.group}.{seed}") for seed in seeds_of(w.group)],
        task=task_of,
    output:
        ref("lines", "{group}"),
    group:
        "cell"
    threads: THREADS
    resources:
        **GPU,
    params:
        command=lambda w, input: f"{command('interpolate', f'lines/{w.group}')} --model {named(input.runs)} "
        f"--task {named(input.task)} --points {flags('POINTS')} {flags('LINES')} {flags('COMPUTE')}",
    shell:
        "{params.command} >/dev/null"


rule soup:
    input:
        runs=lambda w: [ref("run", f"{w.group}.{seed}") for seed in seeds_of(w.group)],
        task=task_of,
    output:
        ref("soup", "{group}.{method}"),
    group:
        "cell"
    threads: THREADS
    resources:
        **GPU,
    params:
        command=lambda w, input: f"{command('soup', f'soup/{w.group}.{w.method}')} --model {named(input.runs)} "
        f"--task {named(input.task)} --method {w.method} {flags('SOUP')} {flags('COMPUTE')}",
    shell:
        "{params.command} >/dev/null"


rule evaluate_run:
    input:
        model=ref("run", "{group}.{seed}"),
        task=task_of,
    output:
        ref("scores", "{group}.{seed}"),
    group:
        "cell"
    threads: THREADS
    resources:
        **GPU,
    params:
        command=lambda w, input: f"{command('evaluate', f'scores/{w.group}.{w.seed}')} --model {named(input.model)} "
        f"--task {named(input.task)} {flags('COMPUTE')}",
    shell:
        "{params.command} >/dev/null"


rule evaluate_soup:
    input:
        model=ref("soup", "{group}.{method}"),
        task=task_of,
    output:
        ref("scores", "{group}.{method}"),
    group:
        "cell"
    threads: THREADS
    resources:
        **GPU,
    params:
        command=lambda w, input: f"{command('evaluate', f'scores/{w.group}.{w.method}')} --model {named(input.model)} "
        f"--task {named(input.task)} {flags('COMPUTE')}",
    shell:
        "{params.command} >/dev/null"


# Results are named in a file: a command line holds only so many.
rule report:
    input:
        [f"{REFS}/{result}.json" for result in RESULTS],
    output:
        ref("report"),
    params:
        command=f"{BIN}/samebasin-report --store {STORE} --ref {STUDY}/report --out {OUT} {flags('REPORT')} --inputs",
    run:
        results = f"{STORE}/flags/{STUDY}.results"
        os.makedirs(os.path.dirname(results), exist_ok=True)
        with open(results, "w") as file:
            file.writelines(f"{STUDY}/{result}\n" for result in RESULTS)
        shell("{params.command} {results} >/dev/null")
