"""Programs of users: a verifier or a reward as a plain Python function of a batch of samples, which may fail.

Nothing of it runs when a model is loaded: a program named by text is imported by `Program.start`.
"""

from bgan_discrete.programs.jobs import Failures, Usage
from bgan_discrete.programs.program import Pending, Program

__all__ = ["Failures", "Pending", "Program", "Usage"]
