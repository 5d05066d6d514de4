"""The agent: decodes what the kernel says about this host's filesystems and disks, and repairs what it is told to."""

__version__ = "0.1.0"
