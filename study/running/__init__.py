"""Plan trials and run them. ``run_trial`` is a plain function; executors only decide where and when."""
