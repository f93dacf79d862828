"""One pair through the network: jobs, the worker, the pipeline, the results."""
