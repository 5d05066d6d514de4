"""Certificates: the collector's own authority, what it issues, and the join tokens that lead to a first certificate."""
