"""The bridge between the store and the pure diagnosis: feed committed records in id order, write incident changes."""
