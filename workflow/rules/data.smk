# Sources, tokenizers, token shards.
rule download:
    input:
        code=code("download"),
    output:
        folder=directory("results/data/{source}"),
        manifest="results/data/{source}.manifest.json",
    log:
        "results/logs/download-{source}.log",
    benchmark:
        "results/benchmarks/download-{source}.tsv"
    priority: 90
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.data.source_keys, "source")),
    shell:
        "pocketlm download --entry {wildcards.source} --out {output.folder} --manifest {output.manifest} 2>&1 | tee -i {log}"


rule tokenizer:
    input:
        code=code("tokenizer"),
        data=of(graph.data.tokenizer_data, "tokenizer"),
        base=of(graph.data.tokenizer_base, "tokenizer"),
    output:
        folder=directory("results/tokenizers/{tokenizer}"),
        manifest="results/tokenizers/{tokenizer}.manifest.json",
    log:
        "results/logs/tokenizer-{tokenizer}.log",
    benchmark:
        "results/benchmarks/tokenizer-{tokenizer}.tsv"
    priority: 90
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.data.tokenizer_keys, "tokenizer")),
        base=option("--base", "base"),
    shell:
        "pocketlm tokenizer --entry {wildcards.tokenizer} --data {input.data} {params.base}"
        " --out {output.folder} --manifest {output.manifest} 2>&1 | tee -i {log}"


rule tokenize:
    input:
        code=code("tokenize"),
        data=of(graph.data.corpus_data, "corpus"),
        tokenizer=of(graph.data.corpus_tokenizer, "corpus"),
    output:
        folder=directory("results/tokens/{corpus}"),
        manifest="results/tokens/{corpus}.manifest.json",
        contamination="results/tokens/{corpus}.contamination.json",
    log:
        "results/logs/tokenize-{corpus}.log",
    benchmark:
        "results/benchmarks/tokenize-{corpus}.tsv"
    wildcard_constraints:
        corpus=one_of(graph.data.whole(config)),
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.data.corpus_keys, "corpus")),
    shell:
        "pocketlm tokenize --entry {wildcards.corpus} --data {input.data} --tokenizer {input.tokenizer}"
        " --out {output.folder} --manifest {output.manifest} --contamination {output.contamination} 2>&1 | tee -i {log}"


# A large corpus (corpora.NAME.shards above 1): shards side by side, on a cluster too, then the same tokens.
rule tokenize_shard:
    input:
        code=code("tokenize-shard"),
        data=of(graph.data.corpus_data, "corpus"),
        tokenizer=of(graph.data.corpus_tokenizer, "corpus"),
    output:
        folder=directory("results/tokens/{corpus}-{shard}"),
        manifest="results/tokens/{corpus}-{shard}.manifest.json",
    log:
        "results/logs/tokenize_shard-{corpus}-{shard}.log",
    benchmark:
        "results/benchmarks/tokenize_shard-{corpus}-{shard}.tsv"
    wildcard_constraints:
        corpus=one_of(graph.data.sharded(config)),
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.data.corpus_keys, "corpus")),
    shell:
        "pocketlm tokenize-shard --entry {wildcards.corpus} --shard {wildcards.shard} --data {input.data}"
        " --tokenizer {input.tokenizer} --out {output.folder} --manifest {output.manifest} 2>&1 | tee -i {log}"


rule tokenize_join:
    input:
        code=code("tokenize-join"),
        shards=of(graph.data.corpus_shards, "corpus"),
        tokenizer=of(graph.data.corpus_tokenizer, "corpus"),
    output:
        folder=directory("results/tokens/{corpus}"),
        manifest="results/tokens/{corpus}.manifest.json",
        contamination="results/tokens/{corpus}.contamination.json",
    log:
        "results/logs/tokenize_join-{corpus}.log",
    benchmark:
        "results/benchmarks/tokenize_join-{corpus}.tsv"
    wildcard_constraints:
        corpus=one_of(graph.data.sharded(config)),
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.data.corpus_keys, "corpus")),
    shell:
        "pocketlm tokenize-join --entry {wildcards.corpus} --shards {input.shards} --tokenizer {input.tokenizer}"
        " --out {output.folder} --manifest {output.manifest} --contamination {output.contamination} 2>&1 | tee -i {log}"
