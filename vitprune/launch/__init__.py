"""A command line to jobs: one typed configuration, checked before torch is imported."""
