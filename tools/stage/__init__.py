"""A stage for the story, the end-to-end tests and the benches: a collector, an agent, filesystems to be damaged."""
