"""What a model costs: parameters and multiply-accumulates, counted three ways."""
