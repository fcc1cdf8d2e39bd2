"""One file for each kind of data set: where files lie, splits, class list, flip pairs."""
