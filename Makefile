# Two commands do everything: `make demo` and `make test`. The rest are their parts.

PYTHON ?= python3
DATA ?=
OUT ?= demo_out
ARGS ?=

RUN := .venv/bin/python
# One thread each: on two cores, torch's second thread only waits for the other processes of a test.
# Compiled modules are kept: a node that starts, hundreds of times, need not compile ours again.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
# Tests of the node on a ROS 2 graph, on both distros. They mostly wait, so both run at once.
BOTH := $(addprefix tests/test_, node.py node_modes.py node_embedding.py lifecycle.py ros_qos.py \
	calibrate_live.py statistics.py pipeline.py other_dds.py many_pairs.py security.py soak.py) \
	$(wildcard tests/test_fault_*.py)
KILTED := $(BOTH) $(addprefix tests/test_, node_faults.py node_tensorrt.py demo_run.py dds_images.py \
	replay_node.py view.py report_live.py node_networks.py end_to_end.py)
# All others: they compute, so they take what the waiting ones leave, at the lowest
# priority: those have clocks to keep, these have not. A worker that is done early takes
# tests over from the other one: the heavy files would come last, each for one worker.
REST := $(filter-out $(KILTED),$(wildcard tests/test_*.py))

.PHONY: demo test lint unit kilted jazzy rest docs site clean

demo: .venv/.ready-demo  ## fuse and segment a replayed recording over real ROS 2 topics
	$(RUN) -m demo.run --out '$(OUT)' $(if $(DATA),--data '$(DATA)') $(ARGS)

# Each begins as soon as its environment is there; the smaller one, of Jazzy, is there first.
test:  ## all tests on Kilted, those of the node on Jazzy too
	@echo 'Installs what is missing, then runs lint and three groups of tests at once. Each prints when it ends.'
	PYTHONDONTWRITEBYTECODE= $(MAKE) --jobs 4 --output-sync=target lint kilted jazzy rest

lint: .venv/.ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

unit: .venv/.ready-dev  ## all tests, one after the other, on one distro
	$(TEST_ENVIRONMENT) $(RUN) -m pytest

kilted: .venv/.ready-dev
	$(TEST_ENVIRONMENT) $(RUN) -m pytest $(KILTED)

rest: .venv/.ready-dev
	$(TEST_ENVIRONMENT) nice -n 19 $(RUN) -m pytest --numprocesses 2 --dist worksteal $(REST)

# Where a ROS 2 is sourced, the tests above ran on that one; its libraries would clash with the wheels.
ifeq ($(ROS_DISTRO),)
jazzy: .venv-jazzy/.ready-jazzy
	$(TEST_ENVIRONMENT) .venv-jazzy/bin/python -m pytest -p no:cacheprovider $(BOTH)
else
jazzy:
	@echo "not run on Jazzy wheels: ROS 2 $(ROS_DISTRO) is sourced"
endif

docs: .venv/.ready-dev  ## the parameter table of the README, from the one YAML
	$(RUN) -m paif_ros.parameters --markdown

site: .venv/.ready-dev  ## the pages of docs/ as a site, without a network; then open site/index.html
	$(RUN) -m models.evaluation.choose
	$(RUN) -m models.evaluation.robustness
	$(RUN) -m tools.how_drawing
	$(RUN) -m tools.module_table
	$(RUN) -m mkdocs build --strict --quiet

.venv/.ready-demo: requirements/runtime.txt requirements/demo.txt requirements/ros-kilted.txt
	PYTHON=$(PYTHON) tools/environment.sh .venv demo

.venv/.ready-dev: requirements/runtime.txt requirements/demo.txt requirements/dev.txt requirements/ros-kilted.txt \
		$(addprefix requirements/, replay.txt report.txt rerun.txt docs.txt)
	PYTHON=$(PYTHON) tools/environment.sh .venv dev

.venv-jazzy/.ready-jazzy: requirements/runtime.txt requirements/jazzy-test.txt requirements/ros-jazzy.txt
	PYTHON=$(PYTHON) tools/environment.sh .venv-jazzy jazzy

clean:
	rm -rf .venv .venv-jazzy demo_out build install log site
