"""Where files change hands with a bank or a fund manager.

`folder`, `sftp` and `http` answer the port; `simulator` is the other side of all three, over one pair of folders.
"""
