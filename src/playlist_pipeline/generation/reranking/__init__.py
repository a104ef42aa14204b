"""The second stage: candidates of several scorers, ranked anew by a small network over features of each.

``first_stage`` scores all tracks by the transformer, the neighbours and the title; ``features`` describes the
candidates; ``network`` weighs the features; ``fitting`` trains it; ``reranker`` is what ranks with it, and its folder.
"""
