# Pre-training and tuning: one loop; data, mask and schedule differ. Checkpoints lie in results/checkpoints.
rule pretrain:
    input:
        code=code("pretrain"),
        arch=of(graph.models.arch_file, "model"),
        tokens=of(graph.models.base_tokens, "model"),
        tokenizer=of(graph.models.model_tokenizer, "model"),
    output:
        folder=directory("results/models/{model}/base"),
        manifest="results/models/{model}/base.manifest.json",
        metrics="results/models/{model}/base.metrics.json",
        curve="results/models/{model}/base.curve.csv",
    log:
        "results/logs/pretrain-{model}.log",
    benchmark:
        "results/benchmarks/pretrain-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.models.from_seed(config), config["models"]),
    priority: 50
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE * RANKS
    resources:
        gpu=GPU * RANKS,
    params:
        cfg=sel(of(graph.models.base_keys, "model")),
        launch=LAUNCH,
        arch=option("--arch", "arch"),
    shell:
        "{params.launch} pretrain --entry {wildcards.model} {params.arch} --tokens {input.tokens}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest}"
        " --metrics {output.metrics} --curve {output.curve} 2>&1 | tee -i {log}"


# Parameter inheritance (PanGu-pi Pro): first weights from a larger model of this run.
rule inherit:
    input:
        code=code("inherit"),
        arch=of(graph.models.arch_file, "model"),
        source=of(graph.models.source_manifest, "model"),
        tokens=of(graph.models.base_tokens, "model"),
        tokenizer=of(graph.models.model_tokenizer, "model"),
    output:
        folder=directory("results/models/{model}/start"),
        manifest="results/models/{model}/start.manifest.json",
        account="results/models/{model}/start.json",
    log:
        "results/logs/inherit-{model}.log",
    benchmark:
        "results/benchmarks/inherit-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.models.inheriting(config), config["models"]),
    priority: 50
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE
    params:
        cfg=sel(of(graph.models.inherit_keys, "model")),
        arch=option("--arch", "arch"),
    shell:
        "pocketlm inherit --entry {wildcards.model} {params.arch} --source {input.source} --tokens {input.tokens}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest} --account {output.account}"
        " 2>&1 | tee -i {log}"


rule pretrain_inherited:
    input:
        code=code("pretrain-inherited"),
        init="results/models/{model}/start.manifest.json",
        tokens=of(graph.models.base_tokens, "model"),
        tokenizer=of(graph.models.model_tokenizer, "model"),
    output:
        folder=directory("results/models/{model}/base"),
        manifest="results/models/{model}/base.manifest.json",
        metrics="results/models/{model}/base.metrics.json",
        curve="results/models/{model}/base.curve.csv",
    log:
        "results/logs/pretrain_inherited-{model}.log",
    benchmark:
        "results/benchmarks/pretrain_inherited-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.models.inheriting(config), config["models"]),
    priority: 50
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE * RANKS
    resources:
        gpu=GPU * RANKS,
    params:
        cfg=sel(of(graph.models.base_keys, "model")),
        launch=LAUNCH,
    shell:
        "{params.launch} pretrain-inherited --entry {wildcards.model} --init {input.init} --tokens {input.tokens}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest}"
        " --metrics {output.metrics} --curve {output.curve} 2>&1 | tee -i {log}"


rule import_model:
    input:
        code=code("import"),
    output:
        folder=directory("results/models/{model}/base"),
        manifest="results/models/{model}/base.manifest.json",
    log:
        "results/logs/import_model-{model}.log",
    benchmark:
        "results/benchmarks/import_model-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.base.names(config, "imported"), config["models"]),
    priority: 50
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel("models.{model}.architecture"),
    shell:
        "pocketlm import --entry {wildcards.model} --out {output.folder} --manifest {output.manifest} 2>&1 | tee -i {log}"


rule instruct:
    input:
        code=code("instruct"),
        init=of(graph.models.before_instruct, "model"),
        tokens=of(graph.models.instruct_tokens, "model"),
        tokenizer=of(graph.models.model_tokenizer, "model"),
    output:
        folder=directory("results/models/{model}/instruct"),
        manifest="results/models/{model}/instruct.manifest.json",
        metrics="results/models/{model}/instruct.metrics.json",
        curve="results/models/{model}/instruct.curve.csv",
    log:
        "results/logs/instruct-{model}.log",
    benchmark:
        "results/benchmarks/instruct-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.models.with_phase(config, "instruct"), config["models"]),
    priority: 45
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE * RANKS
    resources:
        gpu=GPU * RANKS,
    params:
        cfg=sel(of(graph.models.instruct_keys, "model")),
        launch=LAUNCH,
    shell:
        "{params.launch} instruct --entry {wildcards.model} --init {input.init} --tokens {input.tokens}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest}"
        " --metrics {output.metrics} --curve {output.curve} 2>&1 | tee -i {log}"


rule call:
    input:
        code=code("call"),
        init=of(graph.models.before_call, "model"),
        tokens=of(graph.models.call_tokens, "model"),
        tokenizer=of(graph.models.model_tokenizer, "model"),
    output:
        folder=directory("results/models/{model}/call"),
        manifest="results/models/{model}/call.manifest.json",
        metrics="results/models/{model}/call.metrics.json",
        curve="results/models/{model}/call.curve.csv",
    log:
        "results/logs/call-{model}.log",
    benchmark:
        "results/benchmarks/call-{model}.tsv"
    wildcard_constraints:
        model=one_of(graph.models.with_phase(config, "call"), config["models"]),
    priority: 40
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE * RANKS
    resources:
        gpu=GPU * RANKS,
    params:
        cfg=sel(of(graph.models.call_keys, "model")),
        launch=LAUNCH,
    shell:
        "{params.launch} call --entry {wildcards.model} --init {input.init} --tokens {input.tokens}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest}"
        " --metrics {output.metrics} --curve {output.curve} 2>&1 | tee -i {log}"
