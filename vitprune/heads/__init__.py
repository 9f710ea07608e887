"""What heads look at: maps, boxes, causal checks, selectivity. Figures only, no pictures."""
