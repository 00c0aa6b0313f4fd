# The ladders of the studies of real text: BabyLM, two layers of width 128, so that one store holds each once. The rungs of these
# studies are the same for that reason.
#
# OBJECTIVE is what the ladder is pretrained to do: masked (a BERT tells masked tokens) or causal (a GPT-2 tells the next one).
#
# Learning rate and initial scale of each were chosen on the held-out pretraining loss of another seed after 1,500 steps.

OBJECTIVE    ?= masked
RUNGS        := 0 1500 6000

ifndef SAMEBASIN_DATA
$(error SAMEBASIN_DATA is not set: it names the folder with babylm/ and the data of the study (see its Makefile))
endif
# Make runs in the study's folder; a relative path is meant from where the person is.
export SAMEBASIN_DATA := $(abspath $(if $(filter /%,$(SAMEBASIN_DATA)),,$(if $(PWD),$(PWD)/))$(SAMEBASIN_DATA))

CORPUS       := babylm
CORPUS.babylm := corpus --vocabulary 8000 \
	--train babylm/600k_bnc_spoken.train babylm/600k_childes.train babylm/600k_gutenberg.train \
		babylm/600k_open_subtitles.train babylm/600k_simple_wiki.train \
	--held-out babylm/1.2M_simple_wiki_dev.train babylm/1.2M_gutenberg_dev.train
LADDER.masked := --learning-rate 3e-3
LADDER.causal := --learning-rate 6e-3 --family gpt2
LADDER       := --world corpus --steps 6000 --hidden 128 --layers 2 --heads 2 --positions 64 --batch 32 \
	$(LADDER.$(OBJECTIVE)) --warmup 300 --schedule linear --weight-decay 0.01 --initializer-range 0.05

ifndef LADDER.$(OBJECTIVE)
$(error OBJECTIVE is masked or causal, not `$(OBJECTIVE)')
endif
ifneq ($(OBJECTIVE),masked)
STUDY        := $(STUDY)-$(OBJECTIVE)
WHICH        := , from a $(OBJECTIVE) ladder
endif
