PYTHON ?= python3
BIN = .venv/bin
INSTALL = $(BIN)/pip install -qq --disable-pip-version-check --require-hashes
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

# Many processes start here, and each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help run test guards clients documents fuzz proof template tour bench profile lint lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: .venv/run  ## start the service; PORT=5055 make run for another port
	@exec $(BIN)/flask dev

test: .venv/dev  ## run the tests; ARGS="-k devices" for some, DB=postgresql or mariadb
	$(if $(DB),$(BIN)/python tests/support/databases.py $(DB)) \
		$(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

guards: .venv/dev  ## remove each guard in turn, and check that a test fails
	$(BIN)/python tests/mutate_guards.py

fuzz: .venv/dev  ## test the service against its OpenAPI document; SECONDS=3600 for longer, DB=postgresql or mariadb
	$(if $(DB),$(BIN)/python tests/support/databases.py $(DB)) \
		$(BIN)/python tests/fuzz/run.py --max-time $(or $(SECONDS),80) $(ARGS)

proof: .venv/dev  ## deploy to a container, as root; DEPLOYS=10 KILLS=20 for more
	$(BIN)/pytest tests/deploy -p no:randomly $(ARGS)

clients: .venv/dev clients/node_modules  ## generate a client in Python and one in TypeScript
	$(BIN)/flask openapi > clients/openapi.json
	clients/generate clients/openapi.json clients

documents: .venv/dev clients/node_modules  ## check the documents with linters and a browser, use the clients, run the tour
	$(BIN)/python tests/support/openapi_baseline.py $(AGAINST)
	$(BIN)/pytest tests/documents $(ARGS)

template: .venv/dev  ## rename, strip and extend a clone of the project, and test it there
	$(BIN)/pytest tests/template --numprocesses 2 --dist loadfile $(ARGS)

tour: .venv/dev  ## run the commands in README and docs, and update their output
	$(BIN)/python tests/support/readme_transcript.py

bench: .venv-bench/done  ## compare the service with others; ARGS="--only ours,limit --rounds 3"
	.venv-bench/bin/python bench/compare_frameworks.py $(ARGS)

profile: .venv-bench/done  ## write a flame graph of a request to profile.svg; CALL=page
	.venv-bench/bin/python bench/compare_frameworks.py \
		--databases $(or $(DB),sqlite) --profile $(or $(CALL),get)

lint: .venv/dev  ## run every check that a commit must pass
	$(BIN)/pre-commit run --all-files --show-diff-on-failure

lock: .venv/dev  ## write the lock files; make lock ARGS=--upgrade for newer versions
	$(COMPILE) $(ARGS) requirements.in -o requirements.txt
	$(COMPILE) $(ARGS) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) $(ARGS) bench/requirements.in -o bench/requirements.txt

clean:  ## delete the environment and caches, but not instance/
	rm -rf .venv .venv-bench .pytest_cache .hypothesis
	rm -rf clients/node_modules clients/openapi.json clients/python clients/typescript/schema.ts
	find . -name __pycache__ -prune -exec rm -rf {} +

clients/node_modules: clients/package-lock.json
	@command -v npm >/dev/null || \
		{ echo "npm is required; it comes with Node.js 20.19 or newer."; exit 1; }
	cd clients && npm ci --loglevel=error
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is required: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/pip requirements.txt
	$(INSTALL) -r requirements.txt
	@touch $@

.venv-bench/done: requirements.txt bench/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -qq --disable-pip-version-check --require-hashes \
		-r requirements.txt -r bench/requirements.txt
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	@touch $@
