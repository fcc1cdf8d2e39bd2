"""What each command does: the only place where running, tracking and reporting come together."""
