"""Check and repair the metadata of a mounted XFS: piece by piece, then all of it; say when only offline helps."""
