# edgeproof: make demo | test | bench NAME=push | lint | requirements

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header

.PHONY: demo test lint bench requirements clean

demo: $(VENV)/run.installed  ## The main job, with this machine as the device
	$(BIN)/edgeproof run examples/digits/study.yaml

test: $(VENV)/author.installed  ## Everything that must pass before a change lands
	./setup.sh tools
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder --durations 25

lint: $(VENV)/author.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/dev.installed  ## A benchmark: NAME is a file of benchmarks/; the last line is JSON
	@test -f "benchmarks/$(NAME).py" || { echo "make bench NAME=..., one of: $(basename $(notdir $(wildcard benchmarks/[a-z]*.py)))" >&2; exit 2; }
	./setup.sh tools
	@$(BIN)/python -m benchmarks.$(NAME)

requirements: $(VENV)/dev.installed  ## Settle all versions anew, with hashes
	$(COMPILE) --python-version 3.11 requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) --python-version 3.11 pyproject.toml --extra dev -o requirements/dev.txt
	$(COMPILE) --python-version 3.11 pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(COMPILE) --python-version 3.8 requirements/agent.in -o requirements/agent.txt
	$(COMPILE) --python-version 3.12 requirements/onnx2tf.in -o requirements/onnx2tf.txt

$(VENV)/%.installed: requirements/%.txt requirements/bootstrap.txt pyproject.toml setup.sh
	./setup.sh venv $(PYTHON) $(VENV) $<
	@touch $@

$(VENV)/author.installed: $(VENV)/dev.installed
	./setup.sh author $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
