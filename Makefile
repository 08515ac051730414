# make demo                      the main job on a simulated food-delivery log
# make demo DATA=path            the same on KuaiRand's files, or on a folder with schema.yaml
# make demo SEEDS=3              each ranker from three seeds: mean and deviation
# make demo NEW=1                a new version beside what another log or config has left
# make serve RUN_DIR=path        keep the endpoint up on a run's current bundle (runs/demo)
# make test                      the tests, properties by a quarter of their examples
# make test-long                 all tests, the longest too, and properties by all their examples
# make lint                      ruff and mypy
# make bench-serve                the endpoint: over an echo, JSON and Arrow, beyond what it can do
# make daily                      seven days one after the other, one of them damaged (five minutes)
# make bench-train                training: balance, over fixed and padded batches, a plain loop; memory
# make chaos-serve                killed replicas, switches, damage, sieges: what is lost (SOAK=10: minutes)
# make chaos-nodes                pods drained, upgraded, failed, as network namespaces (root, redis-server)
# make fuzz-serve                 generated requests (N=10000) against a deployed application
# make docs                      docs/config*.md, docs/lab-results.md and docs/api.md, from the code and docs/lab
# make site                      these pages as a site, in .site/html
# make mutants                   break a hundred things, one at a time: would the tests notice?
# make monitor                   a Prometheus over the local Ray: what each dashboard's panel shows
# make dashboards                Grafana's JSON of the dashboards, from the code
# make pictures                  docs/dashboard-*.svg, from a cluster of their own (some minutes)
# make kuairand                  the KuaiRand table of the README: three seeds, standard deviations
# make lab                       every model tuned alike, seeds, ablations, scaling (hours; goes on where it was)
# make lab-quick                 the same on a log so small that it tells little (a quarter of an hour)
# make bench-kernels             the CPU operators against plain PyTorch, as ratios
# make bench-tables              tables: the id map, a step at a budget, duplicates, growth
# make table-policies            what a budget of a tenth of the ids costs in quality, by policy
# make bench-data                user rows and plans against Polars, at 1, 3 and 10 million exposures
# make bench-engine              what the engine's parts bring: kept prefixes, halves, frozen tables …
# make bench-delayed             labels that are not known yet: masked against taken for negatives
# make locks                     what each image holds, wheel by wheel with its hash (TORCH_INDEX=<url>)
# make sbom                      a bill of materials of each image: build/sbom/*.cdx.json
# make image-sizes               how large each image will be: fetches every wheel (some GB)
#
# Each sets itself up: a virtual environment in .venv with pinned packages (CPU).

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where pip should look for the CPU build of torch, if its default has CUDA builds only:
#   make demo TORCH_INDEX=<url of PyTorch's CPU wheels>
TORCH_INDEX ?=
BIN := .venv/bin
SETUP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-long lint docs site monitor dashboards pictures mutants kuairand lab lab-quick bench-kernels bench-data bench-engine bench-delayed bench-tables table-policies bench-serve bench-train chaos-serve chaos-nodes fuzz-serve daily constraints locks sbom image-sizes clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "rayrank needs Python 3.11: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[cpu,dev]'
	# Its metadata asks for the CUDA build of fbgemm-gpu; pyproject.toml lists what it does need.
	$(BIN)/pip install --quiet -c constraints.txt --no-deps torchrec
	touch $@

demo: $(SETUP)
	$(BIN)/python jobs/demo.py $(if $(DATA),--data '$(DATA)') $(if $(CONFIG),--config '$(CONFIG)') \
	    $(if $(SEEDS),--seeds $(SEEDS)) $(if $(NEW),--new) $(SET)

serve: $(SETUP)
	$(BIN)/python jobs/serve.py $(if $(RUN_DIR),--run-dir '$(RUN_DIR)')

test: $(SETUP)
	# What needs no cluster in two lanes, then the rest.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" \
	    --numprocesses=2 --dist=loadscope --no-loadscope-reorder $(TESTS)
	$(BIN)/python -m pytest -m alone $(TESTS)

test-long: export RAYRANK_TESTS_LONG = 1
test-long: test

bench-serve: $(SETUP) runs/demo/bundles/current
	PYTHONPATH=kernels $(BIN)/python -m bench.serve

bench-train: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m bench.train
	PYTHONPATH=kernels $(BIN)/python -m bench.train_memory

daily: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m bench.daily --picture docs/daily.svg

chaos-serve: $(SETUP)
	RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response" \
	PYTHONPATH=kernels $(BIN)/python -m bench.chaos $(if $(SOAK),--soak-minutes $(SOAK))

chaos-nodes: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m bench.nodes

fuzz-serve: $(SETUP)
	GENERATED=$(or $(N),10000) $(BIN)/python -m pytest -s tests/serve/test_app_generated.py

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(SETUP)
	$(BIN)/python -m rayrank.run.config_page docs/config.md docs/config-models.md
	$(BIN)/python -m rayrank.lab.config_page docs/config-lab.md
	$(BIN)/python -m rayrank.lab.results_page docs/lab docs/lab-results.md
	$(BIN)/python -m rayrank.serve.api_page docs/data.md docs/api.md

# Every page at the place that it has here, so that links lead to the same.
site: $(SETUP)
	rm -rf .site && mkdir -p .site/pages/k8s .site/pages/kernels
	cp -r README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs examples .site/pages
	cp k8s/README.md .site/pages/k8s/ && cp kernels/README.md .site/pages/kernels/
	# Not --quiet: warnings that are not printed are not counted by `strict` either.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "in .site/html; to search it, too: python -m http.server --directory .site/html"

monitor: $(SETUP)
	$(BIN)/python -m rayrank.monitor.local --rules k8s/monitoring/rules-*.yaml \
	    $(if $(TARGETS),--targets '$(TARGETS)') $(if $(PORT),--port $(PORT)) $(if $(ONCE),--once)

dashboards: $(SETUP)
	$(BIN)/python -m rayrank.monitor.grafana k8s/monitoring/dashboards

pictures: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m tests.monitor.pictures docs

# Their number, the sample's seed, and a room (ROOM=train) or all of them.
SEED ?= 0
mutants: $(SETUP)
	RAYRANK_TESTS_LONG=1 $(BIN)/python tests/mutants.py --number $(or $(N),100) --seed $(SEED) $(if $(ROOM),--room $(ROOM))

kuairand: $(SETUP)
	$(BIN)/python jobs/kuairand_table.py $(if $(DATA),--data '$(DATA)')

lab: $(SETUP)
	$(BIN)/python jobs/lab.py $(SET)

lab-quick: $(SETUP)
	$(BIN)/python jobs/lab.py --config jobs/lab_quick.yaml $(SET)

bench-kernels: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m benchmarks.bench_kernels

bench-tables: $(SETUP) runs/demo/bundles/current
	PYTHONPATH=kernels $(BIN)/python -m bench.tables

table-policies: $(SETUP)
	PYTHONPATH=kernels $(BIN)/python -m bench.table_policies

bench-data: $(SETUP)
	$(BIN)/python -m bench.data

runs/demo/bundles/current:
	$(MAKE) demo

bench-engine: $(SETUP) runs/demo/bundles/current
	PYTHONPATH=kernels $(BIN)/python -m bench.engine

bench-delayed: $(SETUP)
	$(BIN)/python -m bench.delayed

constraints: $(SETUP)
	( echo "# Every version rayrank is tested with: pip install -c constraints.txt. Made by 'make constraints'."; \
	  $(BIN)/pip freeze --all --exclude pip --exclude-editable ) > constraints.txt

locks: $(SETUP)
	$(BIN)/python k8s/image/locks.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX)) $(TARGETS)

sbom: $(SETUP)
	$(BIN)/python k8s/image/sbom.py

image-sizes: $(SETUP)
	$(BIN)/python k8s/image/sizes.py $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

clean:
	rm -rf .venv runs
