# What is done with this repository, by name. Everything works without make, too.
.PHONY: launch test test-long lint audit chaos gpu-bench gpu-ablation gpu-export gpu-report

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

# What a borrowed GPU is for, each part one command (docs/gpu.md). The machine needs neither Ray nor MLflow, and each command
# can be cut off and given again. TOY=1 runs the same on a CPU at toy size.
PYTHON ?= uv run --no-sync python
GPU_STORE ?= runs-gpu
GPU_BUDGET ?= 9m
GPU_REPEATS ?= 5
ifdef TOY
BENCH_SIZE = --profile laptop --device cpu --rounds 2 --set clip.size=32
TRAIN_SIZE = --profile laptop --repeats 1 --set data.train_videos=48 --set data.val_videos=24 --set training.epochs=1
else
BENCH_SIZE = --profile paper --device cuda
TRAIN_SIZE = --profile gpu --repeats $(GPU_REPEATS) --set model.backbone=resnet18 --set data.train_videos=4800 \
    --set data.val_videos=1200 --set training.epochs=10 --set evaluation.every=0 --set resources.cpus=16 \
    --set resources.loader_workers=12 --set resources.frame_cache_mib=32768
endif
BENCH = $(PYTHON) run_study.py bench $(BENCH_SIZE) --storage $(GPU_STORE) --no-tracking

gpu-bench:     ## speed and memory of Table 9's arms, then Table 2's: fp32 and bf16, as they are and compiled
	$(BENCH) table9
	$(BENCH) table9 --dtype bf16
	$(BENCH) table9 --dtype bf16 --compile
	$(BENCH) table9 --dtype bf16 --mode training
	$(BENCH) table2 --dtype bf16

gpu-ablation:  ## Tables 6 to 8 and the attention figures, repeat by repeat within GPU_BUDGET; again to go on
	$(PYTHON) run_study.py launch $(TRAIN_SIZE) --storage $(GPU_STORE) --engine inline --no-tracking --budget $(GPU_BUDGET)

gpu-export:    ## the ablation's records and the speeds as one file, to take home
	$(PYTHON) run_study.py export study-gpu.zip $(TRAIN_SIZE) --storage $(GPU_STORE)

gpu-report:    ## at home: that file's report
	uv run run_study.py import study-gpu.zip --storage runs-gpu-home
	uv run run_study.py report $(TRAIN_SIZE) --storage runs-gpu-home --output reports/generated/gpu
