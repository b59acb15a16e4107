"""An interpreter for jobs of Slurm whose runs take no time: called as `python -u -m <module> <arguments>` would be.

The driver, submitit, the job's wrapper and Slurm are real; the run is that of `tests.sweeps.stub`.
"""

import runpy
import sys

from tests.sweeps.stub import execute, fake

if __name__ == "__main__":
    _, _, _, module, *arguments = sys.argv
    fake("segexp.runs.execute", execute=execute)
    sys.argv[:] = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
