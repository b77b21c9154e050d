# The everyday commands; each is a script in tools/setup or a CMake preset.
.DEFAULT_GOAL := help
.PHONY: help run test bench format clean

# What the user typed reaches the scripts through the environment, byte for byte: `value` keeps make from expanding it,
# and no shell ever reads it as code.
override export PROMPT := $(value PROMPT)
override export MODEL := $(value MODEL)
override export ONLY := $(value ONLY)
override export ARGS := $(value ARGS)

help: ## show this list
	@sed -nE 's/^([a-z]+): ## (.*)/make \1\t\2/p' Makefile | expand -t 14

run: ## install, build, fetch the model, answer PROMPT="..." (or chat); MODEL=folder, .gguf or name
	@tools/setup/run.sh

test: ## install, build, run every test and check (ONLY="release format": just these stages)
	@tools/setup/test.sh

bench: ## install, build, measure this machine and the engine (ARGS="--quick": options of bench/run.py)
	@tools/setup/bench.sh

format: ## format the sources in place
	@tools/setup/sources.sh | xargs -0 clang-format -i

clean: ## remove everything built (fetched models stay; sigma rm removes them)
	rm -rf build
