"""Videos: which there are, how clips are drawn from them, and how they reach the network.

``catalog`` opens a data set by its specification and yields a ``manifest``; ``datasets`` holds one file for
each kind of data set; ``synthetic`` renders the videos of the synthetic ones. ``decoding``, ``sampling``,
``transforms`` and ``dataset`` turn an entry of the manifest into clips. Listing a data set needs neither
torch nor decord.
"""
