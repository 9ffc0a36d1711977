"""Many machines under one service: workers of a Dask cluster that do the service's jobs."""
