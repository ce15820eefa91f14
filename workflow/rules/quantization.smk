# One job makes all quantized deployments of a model: start-up costs more than rounding.
rule quantize:
    input:
        code=code("quantize"),
        models=of(graph.deployments.quantize_models, "model"),
        tokens=of(graph.deployments.quantize_tokens, "model"),
    output:
        folder=directory("results/deploy/{model}"),
        manifest="results/deploy/{model}.manifest.json",
        sizes="results/deploy/{model}.sizes.json",
    log:
        "results/logs/quantize-{model}.log",
    benchmark:
        "results/benchmarks/quantize-{model}.tsv"
    priority: 30
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE
    resources:
        gpu=GPU,
    params:
        cfg=sel(of(graph.deployments.deployment_keys, "model"), "quantization", *graph.base.SINGLE),
        tokens=option("--tokens", "tokens"),
    shell:
        "pocketlm quantize --entry {wildcards.model} --models {input.models} {params.tokens}"
        " --out {output.folder} --manifest {output.manifest} --sizes {output.sizes} 2>&1 | tee -i {log}"
