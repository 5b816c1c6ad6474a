"""The server of ``bertc serve``: tasks of loaded models over HTTP, in the shapes that clients already speak.

Needs the extra ``serve``; nothing else in bertc imports this package but its command.
"""
