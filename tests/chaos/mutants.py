"""Ways to break the library, for ``--mutant``: each function takes one guard out.

A function takes no arguments and is called in a worker before it starts.
"""

from __future__ import annotations
