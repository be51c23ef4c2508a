"""What ran on GPUs, drawn into the documentation from ``results/gpu/CARD-N`` and nothing else."""
