"""The store: schema, migrations, the one writer, and the reads.

`schema` is the contract; `writer` is the only thing that changes rows; `queries` reads.
"""
