"""The operator's side: the command line `fsmend`, and how it shows what the collector answers.

Importing this package costs nothing; each command's module is imported when the command is called.
"""
