# PocketLM: data, search, profiling, training, tuning, quantization, scoring, report.
# The run folder is the working directory: its params.yaml says what is made (pocketlm compose writes it).
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(workflow.basedir) / "src"))
# Snakemake reads the configfile by this loader, which is in Python; the same one in C takes a quarter of the time.
yaml.FullLoader = getattr(yaml, "CFullLoader", yaml.FullLoader)


configfile: "params.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/profiling.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/quantization.smk"
include: "workflow/rules/scoring.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


# Every artefact is asked for, not only the last: a missing or stale one in the middle must show (docs/architecture.md).
rule all:
    default_target: True
    input:
        graph.everything.artefacts(config),


onstart:
    be_alone()


onsuccess:
    print(next_step(), file=sys.stderr)


onerror:
    print(after_failure(), file=sys.stderr)
