"""Names of other systems, so that programs that were written for them run."""
