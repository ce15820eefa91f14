"""The only room that knows Snakemake or DVC: generate, record, sync."""
