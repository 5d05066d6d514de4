"""Tell followers inside the process what was committed: `Feed.publish` after each commit, `Feed.subscribe` for each follower.

A follower only learns the newest id and reads the store from its own cursor; so a slow one loses nothing and holds no queue.
"""
