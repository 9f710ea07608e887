"""Results -> tables, charts and pages. Nothing here needs torch.

`charts` draws every chart, once, in the `style` of all; `figures` and `pictures` are those of
heads. `sections` says which charts a sweep has, `page` lays them out, `formats` are tables as
text, `terminal` prints, `explorer` is the page of heads, `writing` writes all of a directory's.
"""
