"""The study of causal mask, positions and loss: its cases, its runs, its tables."""
