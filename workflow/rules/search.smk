# Architecture search: budgets, successive halving over short trainings, a random arm, the front.
rule propose:
    input:
        code=code("propose"),
        calibration=graph.everything.calibrations(config),
    output:
        predictor="results/search/predictor.json",
        proposal="results/search/proposal.json",
    log:
        "results/logs/propose.log",
    benchmark:
        "results/benchmarks/propose.tsv"
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.search.propose_keys)),
    shell:
        "pocketlm propose --calibration {input.calibration} --predictor {output.predictor} --out {output.proposal} 2>&1 | tee -i {log}"


rule trial:
    input:
        code=code("trial"),
        candidates=of(graph.search.candidates, "rung"),
        tokens=of(graph.search.search_tokens),
    output:
        "results/search/trials/r{rung}-s{slot}.json",
    log:
        "results/logs/trial-{rung}-{slot}.log",
    benchmark:
        "results/benchmarks/trial-{rung}-{slot}.tsv"
    priority: 60
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE
    resources:
        gpu=GPU,
    params:
        cfg=sel(of(graph.search.trial_keys)),
    shell:
        "pocketlm trial --rung {wildcards.rung} --slot {wildcards.slot} --candidates {input.candidates}"
        " --tokens {input.tokens} --out {output} 2>&1 | tee -i {log}"


rule promote:
    input:
        code=code("promote"),
        trials=of(graph.search.trials_before, "rung"),
    output:
        "results/search/rung{rung}.json",
    log:
        "results/logs/promote-{rung}.log",
    benchmark:
        "results/benchmarks/promote-{rung}.tsv"
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel("search.rungs"),
    shell:
        "pocketlm promote --rung {wildcards.rung} --trials {input.trials} --out {output} 2>&1 | tee -i {log}"


# As long as all trials of the last rungs together: it starts first, so that the cores end at the same time.
rule random:
    input:
        code=code("random"),
        candidates=of(graph.search.first_candidates),
        tokens=of(graph.search.search_tokens),
    output:
        "results/search/random.json",
    log:
        "results/logs/random.log",
    benchmark:
        "results/benchmarks/random.tsv"
    priority: 70
    conda:
        "../envs/pocketlm.yaml"
    threads: COMPUTE
    resources:
        gpu=GPU,
    params:
        cfg=sel(of(graph.search.random_keys)),
    shell:
        "pocketlm random --candidates {input.candidates} --tokens {input.tokens} --out {output} 2>&1 | tee -i {log}"


rule select:
    input:
        code=code("select"),
        proposal=of(graph.search.first_candidates),
        predictor="results/search/predictor.json",
        rungs=of(graph.search.promoted),
        trials=of(graph.search.all_trials),
        random="results/search/random.json",
    output:
        front="results/search/front.json",
        arch=graph.base.arch_files(config, graph.base.names(config, "searched")),
    log:
        "results/logs/select.log",
    benchmark:
        "results/benchmarks/select.tsv"
    priority: 85
    conda:
        "../envs/pocketlm.yaml"
    params:
        cfg=sel(of(graph.search.select_keys)),
        rungs=option("--rungs", "rungs"),
    shell:
        "pocketlm select --proposal {input.proposal} --predictor {input.predictor} {params.rungs}"
        " --trials {input.trials} --random {input.random} --out {output.front} --arch {output.arch} 2>&1 | tee -i {log}"
