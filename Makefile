# `make` alone says what there is. Needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
MANAGE := $(BIN)/python manage.py
UPSTREAMS := tests/upstreams/upstreams.sh
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url

# Settings as in production, with values that are as good as real ones, for `check --deploy`.
AS_IN_PRODUCTION := env ENVIRONMENT=production \
	DJANGO_SECRET_KEY=Zq7-vN2x_Jm8Lr4cTgW9sHb1KdYpAeUi6oFy3XwBnM5kQzRjtVu0 \
	ENCRYPTION_KEYS=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
	AGENT_SECRET_MASTER_KEY=202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f \
	AUDIT_SIGNING_KEY=404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f \
	ALLOWED_HOSTS=gateway.example.com METRICS_TOKEN=Vb3mX9qLw2TzRk7Ye5Nf8Hc4 \
	DATABASE_URL=postgresql://gateway:password@database.example.com/gateway \
	REDIS_URL=redis://valkey.example.com:6379/0 SUPABASE_URL=https://project.supabase.co \
	SUPABASE_KEY=sb_publishable_key SUPABASE_SERVICE_KEY=sb_secret_key \
	LITELLM_BASE_URL=https://litellm.example.com LITELLM_MASTER_KEY=sk-master \
	LETTA_BASE_URL=https://letta.example.com LETTA_API_KEY=password \
	GATEWAY_INTERNAL_URL=https://gateway.example.com

.DEFAULT_GOAL := help
.PHONY: help run token test check schema upstreams upstreams-stop test-upstreams torture failures benchmark requirements clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## engines, stand-ins and the gateway on port 8000 (PORT=…), until Ctrl-C
	@$(BIN)/python -m gateway_project.sandbox $(if $(PORT),--port $(PORT))

token: $(STAMP) ## a fresh token of the running sandbox: make token EMAIL=alice@example.com
	@$(BIN)/python -m gateway_project.sandbox token $(or $(EMAIL),alice@example.com)

test: $(STAMP) ## all tests, with engines and stand-ins of their own (ARGS=… go to pytest)
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP) ## every static check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/deptry .
	@echo "$(MANAGE) check --deploy, with settings as in production"
	@$(AS_IN_PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) spectacular --validate --fail-on-warn --file $(VENV)/openapi.yaml
	@diff -u docs/openapi.yaml $(VENV)/openapi.yaml || { echo "The API has changed: run make schema"; exit 1; }

schema: $(STAMP) ## write docs/openapi.yaml anew
	$(MANAGE) spectacular --validate --fail-on-warn --file docs/openapi.yaml

upstreams: $(STAMP) ## a real Letta and a real LiteLLM on loopback, installed once
	@$(UPSTREAMS) start

upstreams-stop: $(STAMP) ## stop them
	@$(UPSTREAMS) stop

test-upstreams: upstreams ## the end-to-end tests against them (ARGS=… go to pytest)
	@$(BIN)/python -m pytest tests/end_to_end $(ARGS)

torture: $(STAMP) ## what is promised under load, kills and outages, in minutes (ARGS=audit for one part)
	@$(BIN)/python -m tests.torture $(ARGS)

failures: $(STAMP) ## bring every failure about, and write docs/FAILURES.md anew
	@$(BIN)/python -m tests.torture.failures --write

benchmark: $(STAMP) ## the gateway's cost per request next to a bare relay
	@$(BIN)/python -m tests.end_to_end.benchmark $(ARGS)

requirements: $(STAMP) ## compile requirements/*.in into pins with hashes
	$(COMPILE) requirements/base.in -o requirements/base.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.txt

clean: ## remove the environment, the sandbox's data and all caches
	rm -rf $(VENV) .local static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# uv installs four times as fast as pip. It does not read pip's configuration, so where it can't
# reach an index, pip may.
$(STAMP): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer; $(PYTHON) is another. Name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) lacks its venv module. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "creating $(VENV) and installing what requirements/dev.txt lists"
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {found = 1} found && !/^(uv==|    --hash)/ {exit} found' $< | \
		$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r /dev/stdin
	@$(BIN)/uv pip install --system-certs --python $(BIN)/python --require-hashes --compile-bytecode -r $< || \
		{ echo "uv could not; trying pip"; \
		$(BIN)/pip install --disable-pip-version-check --require-hashes -r $<; }
	@touch $@
