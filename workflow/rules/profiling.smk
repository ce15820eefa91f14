# Measured facts. A measuring job takes the whole machine: no other job may run beside it.
rule calibrate:
    input:
        code=code("calibrate"),
    output:
        "results/facts/{device}/calibration.json",
    log:
        "results/logs/calibrate-{device}.log",
    benchmark:
        "results/benchmarks/calibrate-{device}.tsv"
    priority: 100
    conda:
        "../envs/pocketlm.yaml"
    threads: workflow.cores
    params:
        cfg=sel("devices.{device}", "numerics.precision"),
    shell:
        "pocketlm calibrate --entry {wildcards.device} --out {output} 2>&1 | tee -i {log}"


rule profile:
    input:
        code=code("profile"),
        arch=of(graph.deployments.profile_archs, "profile"),
    output:
        "results/facts/{device}/{profile}.json",
    log:
        "results/logs/profile-{device}-{profile}.log",
    benchmark:
        "results/benchmarks/profile-{device}-{profile}.tsv"
    wildcard_constraints:
        profile=one_of(config["profiles"]),
    priority: 80
    conda:
        "../envs/pocketlm.yaml"
    threads: workflow.cores
    params:
        cfg=sel(
            "profiles.{profile}",
            "devices.{device}",
            of(graph.deployments.profile_keys, "profile"),
            "numerics.precision",
        ),
        arch=option("--arch", "arch"),
    shell:
        "pocketlm profile --entry {wildcards.profile} {params.arch} --out {output} 2>&1 | tee -i {log}"
