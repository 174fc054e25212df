"""How the processes of the stack are kept running and ended: the pieces below `workers/cli/stack.py`."""
