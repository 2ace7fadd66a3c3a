"""How long tests wait for what comes at once on an idle machine."""

# Nothing is measured by it: whoever waits this long waits for what never comes.
PATIENCE_S = 300.0
