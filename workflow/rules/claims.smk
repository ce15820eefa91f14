# The papers' ablations at this run's size: one comparison a claim, one table and figure of all.
rule claim:
    input:
        code=code("claim"),
        metrics=of(graph.claims.claim_metrics, "claim"),
        scores=of(graph.claims.claim_scores, "claim"),
        facts=of(graph.claims.claim_facts, "claim"),
    output:
        "results/claims/{claim}.json",
    log:
        "results/logs/claim-{claim}.log",
    benchmark:
        "results/benchmarks/claim-{claim}.tsv"
    priority: 15
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel("claims.{claim}"),
        files=lists("metrics scores facts"),
    shell:
        "pocketlm claim --entry {wildcards.claim} {params.files} --out {output} 2>&1 | tee -i {log}"


rule claims:
    input:
        code=code("claims"),
        claims=of(graph.claims.claim_files),
    output:
        table="results/claims/table.md",
        figure="results/claims/figure.svg",
    log:
        "results/logs/claims.log",
    benchmark:
        "results/benchmarks/claims.tsv"
    conda:
        "../envs/pocketlm.yaml"
    shell:
        "pocketlm claims --claims {input.claims} --table {output.table} --figure {output.figure} 2>&1 | tee -i {log}"
