"""What the platform knows, without Dagster."""

from m2v import operators

operators.watch()
