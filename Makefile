# What is done with this repository, by name. Everything works without make, too.
.PHONY: launch test test-long lint audit chaos

launch:        ## the ablation grid, small
	uv run run_study.py launch

test:          ## lint, types and the default tests, as the gate has them
	.ci/run

test-long:     ## tests that take minutes each
	uv run pytest -m long -n 0

lint:
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy

audit:         ## known vulnerabilities of every dependency; needs a network that reaches osv.dev
	uv lock
	uv audit --frozen

chaos:         ## fifty kills of drivers, workers, Ray and MLflow's server; about half an hour
	uv run python -m tests.faults.chaos --kills 50
