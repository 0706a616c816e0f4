"""Generated cases have no deadline of their own: a busy machine would fail them at random."""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
