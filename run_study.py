"""Launch ablation studies, browse them, and regenerate the paper's tables: see ``run_study.py --help``."""

from study.cli import main

if __name__ == "__main__":
    main()
