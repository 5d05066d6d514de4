"""From a batch of an agent to committed rows, effectively once.

`plan` is pure: it says which records of a batch are new, and turns them into rows. `Ingest.submit` commits rows and watermark
in one transaction through the writer, and publishes what was committed to the feed.
"""
