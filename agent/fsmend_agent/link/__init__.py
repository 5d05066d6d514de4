"""The unprivileged half of the agent: between the seam of `sense` and a collector.

Together with `enrol` this is all of the agent that imports grpc.
"""
