"""What the platform knows, without Dagster."""

from m2v.models import operators

operators.watch()
