"""Whatever comes from outside ends in what it says, or in one line that names it; never in a traceback or a hang."""
