"""The benchmarks can be run; how fast anything is, is not tested."""
