"""What the entries of ``params.yaml`` mean for the DAG: which artefact each job reads, which keys it depends on.

Works on the plain dictionary of params.yaml (Snakemake's ``config``) and imports nothing heavy. Paths are relative to
the run folder.
"""

from pocketlm.engines.graph import base, claims, data, deployments, everything, models, search

__all__ = ["base", "claims", "data", "deployments", "everything", "models", "search"]
