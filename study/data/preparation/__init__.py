"""Making files that are read fast and rightly out of those that a data set is distributed as."""
