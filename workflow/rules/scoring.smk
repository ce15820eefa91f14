# lm-eval over the deployed artefacts themselves; one job a model and suite.
rule score:
    input:
        code=code("score"),
        models=of(graph.deployments.scored_models, "suite", "model"),
        deploy=of(graph.deployments.scored_deploy, "suite", "model"),
        data=of(graph.deployments.score_data, "suite"),
    output:
        scores="results/scores/{suite}/{model}.json",
        samples="results/scores/{suite}/{model}.samples.jsonl",
    log:
        "results/logs/score-{suite}-{model}.log",
    benchmark:
        "results/benchmarks/score-{suite}-{model}.tsv"
    priority: 20
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE
    resources:
        gpu=GPU,
    params:
        cfg=sel(of(graph.deployments.score_keys, "suite", "model")),
        deploy=option("--deploy", "deploy"),
    shell:
        "pocketlm score --entry {wildcards.model} --suite {wildcards.suite} --models {input.models} {params.deploy}"
        " --data {input.data} --out {output.scores} --samples {output.samples} 2>&1 | tee -i {log}"
