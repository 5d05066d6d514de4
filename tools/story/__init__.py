"""`make run`: a collector and an agent on this host, and a real corruption that is found, repaired and verified."""
