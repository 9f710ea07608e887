"""What a job found, as plain values: written, read again, compared. Nothing here needs torch.

`writing` writes a job's files, `settings` says which settings a result depends on, `environment`
with what it was made. `reading` reads a sweep as one table, `groups` orders it, `table1` lays it
out as the paper does, `paper` has the paper's own figures, `agreement` compares metrics,
`statistics` are the intervals and tests.
"""
