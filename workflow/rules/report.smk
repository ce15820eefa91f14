# One self-contained page and one tidy table; nothing depends on them.
rule report:
    input:
        code=code("report"),
        scores=of(graph.scores),
        metrics=graph.training_metrics(config, ".metrics.json"),
        curves=graph.training_metrics(config, ".curve.csv"),
        facts=of(graph.profile_facts),
        front=of(graph.front),
        sizes=of(graph.sizes),
        contamination=of(graph.contamination),
        data=of(graph.report_data),
    output:
        page=report("results/report/index.html", category="Report", caption="../report/index.rst"),
        table="results/report/table.csv",
        metrics="results/report/metrics.json",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    params:
        cfg=sel("report", "models", "deployments", "_recipe"),
        front=option("--front", "front"),
        facts=option("--facts", "facts"),
        sizes=option("--sizes", "sizes"),
        curves=option("--curves", "curves"),
        metrics=option("--metrics", "metrics"),
    shell:
        "pocketlm report --scores {input.scores} {params.metrics} {params.curves} {params.facts} {params.front}"
        " {params.sizes} --contamination {input.contamination} --data-manifests {input.data}"
        " --out {output.page} --table {output.table} --metrics-out {output.metrics}" + LOGGED
