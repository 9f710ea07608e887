"""A command line to jobs: one typed configuration, checked before torch is imported.

`configuration` has every key, its range and what goes together. `commands` runs a job, `cells`
says whether a sweep's cell is finished or failed, `sweeps` looks after all of them, `reports`
ends them with a report, `ddp` starts a job's further processes. `arguments` and `overrides` read
command lines, `library_messages` silences what is not for the user.
"""
