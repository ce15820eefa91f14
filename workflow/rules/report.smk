# One self-contained page and one tidy table; nothing depends on them.
rule report:
    input:
        code=code("report"),
        config="params.yaml",  # the page shows all of it
        scores=of(graph.everything.scores),
        samples=of(graph.everything.samples),
        metrics=of(graph.everything.metrics),
        curves=of(graph.everything.curves),
        facts=of(graph.everything.profile_facts),
        front=of(graph.everything.front),
        predictor=of(graph.everything.predictor),
        sizes=of(graph.everything.sizes),
        contamination=of(graph.everything.contamination),
        data=of(graph.deployments.report_data),
        manifests=of(graph.everything.report_manifests),
        papers=of(graph.deployments.report_papers),
    output:
        page=report("results/report/index.html", category="Report", caption="../report/index.rst"),
        table="results/report/table.csv",
        metrics="results/report/metrics.json",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../envs/pocketlm.yaml"
    params:
        files=lists(
            "scores samples metrics curves facts front predictor sizes contamination manifests papers",
            **{"data-manifests": "data"},
        ),
    shell:
        "pocketlm report {params.files} --out {output.page} --table {output.table}"
        " --metrics-out {output.metrics} 2>&1 | tee -i {log}"
