# What all studies share: which stage makes which ref from which others. No numbers and no logic live here.
#
# A study sets STUDY, LADDER (flags of pretrain), RUNGS, FINETUNING, POINTS, GROUPS (<pretraining seed>.<step>.<arm>),
# and for each arm FLAGS.<arm> and TASK.<arm>; for each task PREPARE.<task>; and REPORT. SOUP and LINES hold flags of soup
# and of interpolate, COMPUTE those of every stage that runs models (--device, --precision); METHODS are methods of soup.
#
# Or PRETRAINING and ARMS in the place of GROUPS: every arm is crossed with all RUNGS, or with RUNGS.<arm>. FINETUNING.<arm> are
# the fine-tuning seeds of one arm. LINE_GROUPS are the groups between whose runs lines are walked, by default all.
# IMAGES is the task (one of PREPARE.<task>) whose images `pretrain --world images` learns from.
#
# Ladders that others have trained: FETCH (what `fetch ladder` takes; `$*` is the pretraining seed) and GAUGE (flags of gauge) in
# the place of LADDER. Data sets of the hub: DATA, and for each DATA.<name> (what `fetch dataset` takes); they are the refs
# <STUDY>/data/<name>.

ROOT    := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)
STORE   ?= $(ROOT)/artifacts
OUT     ?= $(ROOT)/out/$(STUDY)
PROFILE ?= release
BIN     ?= $(or $(CARGO_TARGET_DIR),$(ROOT)/target)/$(PROFILE)
THREADS ?= 1
METHODS ?= uniform greedy
JOBS    ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)

REFS := $(STORE)/refs/$(STUDY)
# What the flags are stands in a file: where one changes, in a Makefile or on the command line, the stages run again, and
# those whose recipe is the same find their results.
RECIPES := $(STORE)/flags/$(STUDY)
SAID    := $(foreach v,$(sort $(filter FLAGS.% TASK.% PREPARE.% LADDER% CORPUS% DATA% FETCH GAUGE GROUPS RUNGS RUNGS.% FINETUNING \
	FINETUNING.% ARMS PRETRAINING IMAGES LINE_GROUPS METHODS POINTS LINES SOUP COMPUTE REPORT,$(.VARIABLES))),$v = $($v);)
ifneq ($(SAID),$(if $(wildcard $(RECIPES)),$(file < $(RECIPES))))
$(shell mkdir -p $(dir $(RECIPES)))
$(file > $(RECIPES),$(SAID))
endif
comma := ,
empty :=
space := $(empty) $(empty)
define newline


endef
# Part $1 of what a run, a group or a soup is called.
part  = $(word $1,$(subst ., ,$*))
# The fine-tuning seeds of a group.
seeds = $(or $(FINETUNING.$(word 3,$(subst ., ,$1))),$(FINETUNING))

ifeq ($(origin GROUPS),undefined)
GROUPS  := $(foreach p,$(PRETRAINING),$(foreach a,$(ARMS),$(foreach r,$(or $(RUNGS.$a),$(RUNGS)),$p.$r.$a)))
endif
ifeq ($(origin LINE_GROUPS),undefined)
LINE_GROUPS := $(GROUPS)
endif
RUNS    := $(foreach g,$(GROUPS),$(foreach k,$(call seeds,$g),$g.$k))
SOUPS   := $(foreach m,$(METHODS),$(GROUPS:%=%.$m))
LADDERS := $(sort $(foreach g,$(GROUPS),$(firstword $(subst ., ,$g))))
RESULTS := $(LADDERS:%=ladder/%) $(RUNS:%=run/%) $(LINE_GROUPS:%=lines/%) $(SOUPS:%=soup/%) \
	$(RUNS:%=scores/%) $(SOUPS:%=scores/%)

.DEFAULT_GOAL := study
.DELETE_ON_ERROR:
.SECONDEXPANSION:
# Results that no rule names are kept; those that the report names are made again where they are gone (after a repair).
.PRECIOUS: $(foreach kind,data task corpus rungs ladder run lines soup scores,$(REFS)/$(kind)/%.json)
.PHONY: study print-study

# What a study's other targets (smoke, quick) end in.
GOAL ?= study

ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(JOBS)
endif

study: $(REFS)/report.json $(OUT)/report.html

# Cargo knows what is out of date. A program that it rebuilds makes its stages run again, and find their results.
BUILD ?= cargo build --profile $(PROFILE) --manifest-path $(ROOT)/Cargo.toml --package samebasin-stages --bins
ifeq ($(MAKELEVEL),0)
BUILT := $(shell $(BUILD))
ifneq ($(.SHELLSTATUS),0)
$(error the programs could not be built)
endif
endif

# The prerequisites that are models, and those that are tasks, as refs.
ref    = $(patsubst $(STORE)/refs/%.json,%,$1)
named  = $(call ref,$(filter $(REFS)/$1/%,$^))
# One thread for a stage and one stage for a core: nothing waits for anything.
common = --store $(STORE) --threads $(THREADS) --quiet --ref $(call ref,$@)

DATA_REFS := $(DATA:%=$(REFS)/data/%.json)

$(REFS)/data/%.json: $(BIN)/samebasin-fetch $(RECIPES)
	@echo "fetch       $*"
	@$< $(common) dataset $(DATA.$*) >/dev/null

$(REFS)/task/%.json: $(BIN)/samebasin-prepare $(RECIPES) $(DATA_REFS)
	@echo "prepare     $*"
	@$< $(common) $(PREPARE.$*) >/dev/null

$(REFS)/corpus/%.json: $(BIN)/samebasin-prepare $(RECIPES)
	@echo "prepare     $*"
	@$< $(common) $(CORPUS.$*) >/dev/null

ifdef FETCH
$(REFS)/rungs/%.json: $(BIN)/samebasin-fetch $(RECIPES)
	@echo "fetch       $*"
	@$< $(common) ladder $(FETCH) --rungs $(subst $(space),$(comma),$(strip $(RUNGS))) >/dev/null

$(REFS)/ladder/%.json: $(BIN)/samebasin-gauge $(RECIPES) $(REFS)/rungs/%.json $(DATA_REFS)
	@echo "gauge       $*"
	@$< $(common) --ladder $(call named,rungs) --seed $* $(GAUGE) $(COMPUTE) >/dev/null
else
$(REFS)/ladder/%.json: $(BIN)/samebasin-pretrain $(RECIPES) $(CORPUS:%=$(REFS)/corpus/%.json) \
		$(IMAGES:%=$(REFS)/task/%.json)
	@echo "pretrain    $*"
	@$< $(common) $(LADDER) $(addprefix --corpus ,$(call named,corpus)) $(addprefix --images ,$(call named,task)) \
		--checkpoints $(subst $(space),$(comma),$(strip $(RUNGS))) --seed $* $(COMPUTE) >/dev/null
endif

task = $(REFS)/task/$(TASK.$(call part,3)).json

$(REFS)/run/%.json: $(BIN)/samebasin-finetune $(RECIPES) $(REFS)/ladder/$$(call part,1).json $$(task)
	@echo "finetune    $*"
	@$< $(common) --checkpoint $(call named,ladder):step-$(call part,2) --task $(call named,task) \
		--seed $(call part,4) $(FLAGS.$(call part,3)) $(COMPUTE) >/dev/null

$(REFS)/lines/%.json: $(BIN)/samebasin-interpolate $(RECIPES) $$(foreach k,$$(call seeds,$$*),$(REFS)/run/$$*.$$k.json) $$(task)
	@echo "interpolate $*"
	@$< $(common) --model $(call named,run) --task $(call named,task) --points $(POINTS) $(LINES) $(COMPUTE) >/dev/null

group = $(call part,1).$(call part,2).$(call part,3)

$(REFS)/soup/%.json: $(BIN)/samebasin-soup $(RECIPES) $$(foreach k,$$(call seeds,$$*),$(REFS)/run/$$(group).$$k.json) $$(task)
	@echo "soup        $*"
	@$< $(common) --model $(call named,run) --task $(call named,task) --method $(call part,4) $(SOUP) $(COMPUTE) >/dev/null

$(SOUPS:%=$(REFS)/scores/%.json): $(REFS)/scores/%.json: $(BIN)/samebasin-evaluate $(RECIPES) $(REFS)/soup/%.json $$(task)
	@echo "evaluate    $*"
	@$< $(common) --model $(call named,soup) --task $(call named,task) $(COMPUTE) >/dev/null

$(RUNS:%=$(REFS)/scores/%.json): $(REFS)/scores/%.json: $(BIN)/samebasin-evaluate $(RECIPES) $(REFS)/run/%.json $$(task)
	@echo "evaluate    $*"
	@$< $(common) --model $(call named,run) --task $(call named,task) $(COMPUTE) >/dev/null

# Results are named in a file: a command line holds only so many. The page is a target of its own: where OUT was deleted, or is
# another folder, the report is delivered there again.
$(REFS)/report.json $(OUT)/report.html &: $(BIN)/samebasin-report $(RECIPES) $(RESULTS:%=$(REFS)/%.json)
	$(file > $(RECIPES).results,$(subst $(space),$(newline),$(RESULTS:%=$(STUDY)/%)))
	@$< --store $(STORE) --ref $(STUDY)/report --out $(OUT) $(REPORT) --inputs $(RECIPES).results

# The same study for another engine, as JSON: pipelines/study.smk reads it. Where a flag has the ladder's seed ($*), `{seed}` stands.
EXPORTED := $(sort STUDY STORE OUT BIN $(filter FLAGS.% TASK.% PREPARE.% LADDER CORPUS CORPUS.% DATA DATA.% FETCH GAUGE GROUPS \
	LINE_GROUPS IMAGES RUNGS FINETUNING FINETUNING.% METHODS POINTS LINES SOUP COMPUTE REPORT,$(.VARIABLES)))
quoted = "$(subst ",\",$(subst \,\\,$(strip $1)))"

print-study: ; @$(MAKE) --silent --no-print-directory 'print-study/{seed}'
print-study/%: ; $(info {"": ""$(foreach v,$(EXPORTED),$(comma) $(call quoted,$v): $(call quoted,$($v)))})@:
