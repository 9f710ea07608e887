"""What heads look at: maps, boxes, causal checks, selectivity. Numbers only, no pictures.

`attention` are maps, `boxes` how much of them lies on objects, `causal` what a class loses
without heads, `relevance` consistency and class selectivity.
"""
